"""``kedge why``: what led to what a node does now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from kedge.cli.output import show
from kedge.cli.session import ask, complete_nodes, output_option

if TYPE_CHECKING:
    from rich.text import Text

    from kedge.shapes.log import LinkRow, WhyRow

FIRST, LAST = 6, 40
COLOURS = {"person": "magenta", "seen": "yellow", "step": "cyan", "limit": "yellow", "rest": "bold"}


@click.command()
@click.argument("node", metavar="NODE", shell_complete=complete_nodes)
@output_option
def why(node: str, output: str) -> None:
    """Show what led to what NODE does now, from the log, the newest last.

    Each line says what happened and, behind an arrow, the number of the line that it follows from.
    """
    found = ask(lambda client: client.why(node))
    show(found, output, lambda: lines(found, time.time()))


def lines(found: WhyRow, now: float) -> Iterable[Text]:
    """The chain, numbered, and where the node is now."""
    from rich.text import Text

    from kedge.cli.render import clock, count, duration

    runs = list(_runs(found.chain))
    numbers = {link.seq: place for place, run in enumerate(runs, 1) for link in run}
    for place, run in enumerate(runs, 1):
        first, link = run[0], run[-1]
        if FIRST < place <= len(runs) - LAST:
            if place == FIRST + 1:
                left = count(len(runs) - LAST - FIRST, "line")
                yield Text(f"     ... {left} more: -o json ...", style="dim")
            continue
        line = Text(f"{place:>3}. ").append(clock(first.at), style="dim").append("  ")
        line.append(link.words, style=COLOURS.get(link.kind, "")).append(_lasted(link))
        if link.why:
            line.append(f" ({link.why})")
        if len(run) > 1:
            line.append(f", {len(run)} times, the last at {clock(link.at)}")
        if first.because in numbers and first.because != first.seq:
            line.append(f"  <- {numbers[first.because]}", style="bold dim")
        yield line
    if not found.chain:
        yield Text("Nothing is in the log of this node.")
    line = Text("now: ").append(f"{found.node} is {found.phase}", style="bold")
    line.append(f" since {duration(now - found.since)}: {found.why}")
    if found.next:
        line.append(f"; next: {found.next}")
    yield line


def _runs(chain: Sequence[LinkRow]) -> Iterator[list[LinkRow]]:
    """The links in their order; a step that ended in the same way several times in a row is one run."""
    run: list[LinkRow] = []
    for link in chain:
        if run and not (link.kind == "step" and _outcome(link) == _outcome(run[-1])):
            yield run
            run = []
        run.append(link)
    if run:
        yield run


def _outcome(link: LinkRow) -> tuple[str, str]:
    return link.words.partition(":")[0], link.why


def _lasted(link: LinkRow) -> str:
    from kedge.cli.render import duration

    return f" after {duration(link.until - link.at)}" if link.kind == "step" and link.until else ""
