"""``kedge status``: which state nodes are in, since when, why, and what is next."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kedge.cli.kinds import PhaseName
from kedge.cli.output import console, show
from kedge.cli.session import ask, nodes_argument, output_option
from kedge.cli.trouble import TROUBLE
from kedge.cli.visible import Visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from kedge.client.client import Client
    from kedge.shapes.nodes import About, NodeRow
    from kedge.shapes.paths import BudgetRow
    from kedge.shapes.rollouts import RolloutRow


NARROW = 100
"""So wide at least a table of the status must be to be read."""


@click.command()
@nodes_argument(required=False)
@click.option("-w", "--watch", is_flag=True, help="Go on, and move as the nodes do.")
@click.option("--each/--fold", default=None, help="One row a node, or alike nodes in one row.")
@click.option("--phase", "--state", multiple=True, type=PhaseName(),
              help="Only nodes in this state (may be repeated).")  # fmt: skip
@click.option("--check", is_flag=True, help="Exit with 4 unless all nodes have converged.")
@output_option
def status(
    nodes: str,
    watch: bool,
    each: bool | None,
    phase: tuple[str, ...],
    check: bool,
    output: str,
) -> None:
    """Show which state nodes are in, since when, why, and what is next; the worst first.

    Alike nodes are folded into one row when there are many.
    """
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            ask(lambda client: _watch(client, nodes, phase, each, output))
        return

    async def look(client: Client) -> tuple[list[NodeRow], Around | None]:
        rows = _in_phase(await client.status(nodes), phase)
        return rows, await _around(client) if output == "table" else None

    rows, around = ask(look)
    show(rows, output, lambda: _drawn(rows, each, around, phase))
    if check and any(row.phase != "converged" for row in rows):
        click.get_current_context().exit(TROUBLE)


def _in_phase(rows: Sequence[NodeRow], phase: tuple[str, ...]) -> list[NodeRow]:
    return [row for row in rows if not phase or row.phase in phase]


@dataclass(frozen=True, slots=True)
class Around:
    """What is shown below the nodes."""

    about: About
    budgets: list[BudgetRow]
    rollouts: list[RolloutRow]


async def _around(client: Client) -> Around:
    return Around(await client.about(), await client.budgets(), await client.rollouts())


def _drawn(
    rows: Sequence[NodeRow],
    each: bool | None,
    around: Around | None,
    phase: tuple[str, ...] = (),
) -> Iterable[RenderableType]:
    from rich.text import Text

    from kedge.cli.render import status_paragraphs, status_table, summary_line

    if not rows and phase:
        yield Text(f"No node is {' or '.join(phase)}.")
    elif not rows:
        yield Text("No nodes yet. Describe them in a folder, then: kedge apply FOLDER")
    else:
        if console().width < NARROW:
            yield from status_paragraphs(rows, time.time(), each=each)
        else:
            yield status_table(rows, time.time(), each=each)
        yield summary_line(rows)
    if around is not None:
        yield from _drawn_around(around)


def _drawn_around(around: Around) -> Iterable[RenderableType]:
    from rich.text import Text

    from kedge.cli.budgets import queue_lines
    from kedge.cli.rollout_drawing import status_lines

    for line in queue_lines(around.budgets):
        yield Text(line, style="yellow")
    yield from status_lines(around.rollouts)
    about = around.about
    parts: dict[str, list[str]] = {}
    for name, why in about.degraded.items():
        parts.setdefault(why, []).append(name)
    for why, names in parts.items():
        yield Text(f"degraded: {', '.join(names)}: {why}", style="red")
    if about.strangers:
        were = "machine was" if about.strangers == 1 else "machines were"
        yield Text(f"{about.strangers} unknown {were} seen: kedge strangers", style="yellow")


async def _watch(
    client: Client, nodes: str, phase: tuple[str, ...], each: bool | None, output: str
) -> None:
    from kedge.cli.waiting import looks

    if output != "table":
        async for rows in looks(client, nodes):
            show(_in_phase(rows, phase), output, lambda: ())
        return
    from rich.console import Group
    from rich.live import Live

    screen = console()
    with Live(console=screen, auto_refresh=False, screen=False) as live:
        last: list[NodeRow] = []
        around = await _around(client)

        async def tick() -> None:
            while True:
                live.update(Visible(Group(*_drawn(last, each, around, phase))), refresh=True)
                await asyncio.sleep(1.0 if screen.is_terminal else 10.0)

        ticking: asyncio.Task[None] | None = None
        try:
            async for rows in looks(client, nodes):
                last = _in_phase(rows, phase)
                around = await _around(client)
                ticking = ticking or asyncio.create_task(tick())
                live.update(Visible(Group(*_drawn(last, each, around, phase))), refresh=True)
        finally:
            if ticking is not None:
                ticking.cancel()
