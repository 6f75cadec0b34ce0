"""``kedge module``: which modules run, what each adds, and going over to changed ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from kedge.cli.output import show
from kedge.cli.session import ask, output_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.shapes.modules import ModuleRow, Reloaded


@click.group()
def module() -> None:
    """Look at modules, and go over to changed ones."""


@module.command("list")
@output_option
def list_(output: str) -> None:
    """List all modules: version, package, what each adds, and what is wrong with it."""
    rows = ask(lambda client: client.modules())
    show(rows, output, lambda: _table(rows))


def _table(rows: Sequence[ModuleRow]) -> Iterable[RenderableType]:
    from kedge.cli.render import table

    drawn = table("module", "version", "package", "adds", "trouble")
    for row in rows:
        counts = (
            (len(row.variables), "variable"), (len(row.mutations), "mutation"),
            (len(row.duties), "duty"), (len(row.actions), "action"), (row.services, "service"),
        )  # fmt: skip
        adds = ", ".join(f"{n} {_plural(n, word)}" for n, word in counts if n)
        package = f"{row.package} {row.package_version}".strip()
        drawn.add_row(row.name, row.version, package, adds, row.degraded)
    return [drawn]


def _plural(count: int, word: str) -> str:
    if count == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("ty") else f"{word}s"


@module.command("show")
@click.argument("name")
@output_option
def show_(name: str, output: str) -> None:
    """Show the reference of module NAME: its variables, mutations, discoveries and duties."""
    found = ask(lambda client: client.module(name))
    trouble = [f"Trouble: {found.degraded}", ""] if found.degraded else []
    origin = f"Version {found.version}, from {found.package} {found.package_version}".strip()
    show(found, output, lambda: ["\n".join([*trouble, f"{origin}.", "", found.reference])])


@module.command()
@click.argument("names", nargs=-1)
@output_option
def reload(names: tuple[str, ...], output: str) -> None:
    """Go over to the modules that are installed now, without a restart.

    Packages that came are taken up, changed ones imported anew (NAMES also where nothing changed),
    removed ones dropped. If they do not fit together, or the site no longer fits them, it is refused
    and nothing changes. Nodes on their way are planned anew from where they are; none is reset.

    Sub-masters are told to do the same with what is installed on their machines; one that is silent does
    it when it is back.
    """
    told = ask(lambda client: client.module_reload(names))
    show(told, output, lambda: [_told(told)])


def _told(told: Reloaded) -> str:
    parts = (("added", told.added), ("changed", told.changed), ("removed", told.removed))
    words = [f"{what}: {', '.join(names)}" for what, names in parts if names]
    words = words or ["Nothing has changed"]
    if told.passed_on:
        words.append(f"passed on to {', '.join(told.passed_on)} (see kedge status)")
    return f"{'; '.join(words)}."
