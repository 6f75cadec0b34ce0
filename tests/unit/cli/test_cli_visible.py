"""What nodes say cannot command the terminal of whoever looks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kedge.cli.main import run
from kedge.cli.visible import Visible, visible

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[red]plain[/red]"


def test_only_what_is_printable_stays() -> None:
    assert visible("plain, grün\nnext") == "plain, grün\nnext"
    assert visible(EVIL).startswith("\ufffd]0;owned\ufffd\ufffd[2J\ufffd31m\ufffd[red]")


def test_whatever_rich_prints_is_made_visible() -> None:
    file = io.StringIO()
    screen = Console(file=file, force_terminal=False, width=100)
    table = Table("title")
    table.add_row(Text(EVIL))
    for part in (table, Text(EVIL), Text("a\r\x1b[1A")):
        screen.print(Visible(part))
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(file.getvalue())


@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["node", "show", "n1"], ["plan", "n1"], ["power", "status"], ["events"],
        ["node", "set", "n[1-4]", "power.state=on", "--wait", "--timeout", "3"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_commands_show_what_nodes_say_as_text(
    served: Any, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    served.operations.why = EVIL
    served.operations.phases["n1"] = "blocked"
    run(words)
    told = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told.out + told.err)
