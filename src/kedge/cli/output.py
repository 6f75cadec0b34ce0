"""Writing answers: a table for people, JSON or YAML for programs, questions on a terminal."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from kedge.cli.visible import Visible, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDE = 160


def console(*, err: bool = False) -> Console:
    """A console that never cuts lines when nobody looks at them."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=err, highlight=False, soft_wrap=False, width=width)


def plain(value: object) -> Any:
    """Structs as mappings."""
    import msgspec

    return msgspec.to_builtins(value)


def show(value: object, output: str, table: Callable[[], Iterable[RenderableType]]) -> None:
    """Write ``value`` in the chosen form; ``table`` makes what people see."""
    if output == "json":
        click.echo(json.dumps(plain(value), indent=2 if sys.stdout.isatty() else None))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True), nl=False)
    else:
        write(console(), table())


def write(screen: Console, parts: Iterable[RenderableType]) -> None:
    """Print tables and lines; lines are broken by the terminal only."""
    from rich.text import Text

    for part in parts:
        screen.print(Visible(part), soft_wrap=isinstance(part, str | Text), markup=False)


def say(text: str) -> None:
    """Tell a person what was done, where it does not disturb a program's input."""
    click.echo(visible(text), err=True)


def tell(answer: object, output: str, *words: str) -> None:
    """Tell what was done: a person in words, a program by the whole answer."""
    if output == "table":
        for line in words:
            say(line)
    else:
        show(answer, output, lambda: ())


def asking(*, yes: bool) -> bool:
    """Whether a person will be asked."""
    return not yes and sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(summary: str, *, yes: bool) -> None:
    """Ask before something disruptive, if there is a person to ask; raises ``click.Abort``.

    Without a terminal nobody is asked: who writes a command into a script means it.
    """
    if not asking(yes=yes):
        return
    say(summary)
    with _interruptible():
        click.confirm("Go on?", abort=True, err=True)


@contextmanager
def _interruptible() -> Generator[None]:
    """Have Ctrl-C end a question at once: an event loop, which the question holds up, would only note it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
