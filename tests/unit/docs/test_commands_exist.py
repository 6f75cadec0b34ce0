"""What a page, a help text or an error tells people to type is a command, with these options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kedge.cli.main import cli

ROOT = Path(__file__).resolve().parents[3]
TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "src/kedge/**/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md" and path != ROOT / "docs/reference/cli.md"  # it is made of them
)
TYPED = re.compile(r"(?<![\w/.-])kedge ((?:[a-z0-9-]+)(?: [^\n`\"'|;,)(&>#…<{]*)?)")


def typed(text: str) -> Iterator[list[str]]:
    """What stands behind ``kedge``, where that begins with one of its commands."""
    known = cli.list_commands(click.Context(cli))
    for match in TYPED.finditer(text):
        words = [word.rstrip(".:") for word in match[1].split()]
        if words[0] in known:
            yield words


def wrong(words: list[str]) -> str:
    """What there is not, of a command line; empty: all is there."""
    command: click.Command = cli
    context = click.Context(cli)
    for word in words:
        if word == "--":
            break
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(context, word)
            if found is None:
                return f"{command.name} has no command {word}"
            command, context = found, click.Context(found, parent=context)
        elif re.match(r"-[a-z-]", word):
            names = {
                name
                for parameter in command.params
                for name in (*parameter.opts, *parameter.secondary_opts)
            }
            if word.partition("=")[0] not in {*names, "--help"}:
                return f"{command.name} has no option {word}"
    return ""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_people_are_told_to_type_exists(path: Path) -> None:
    told = [(words, wrong(words)) for words in typed(path.read_text())]
    assert not [(" ".join(words), what) for words, what in told if what]


def test_what_does_not_exist_is_found() -> None:
    found = list(
        typed("Type kedge events --nodes n1, or `kedge sim demo`; then kedge status -w n1.")
    )
    assert [wrong(words) for words in found] == [
        "events has no option --nodes",
        "sim has no command demo",
        "",
    ]
