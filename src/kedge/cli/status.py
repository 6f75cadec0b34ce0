"""``kedge status``: which state nodes are in, since when, why, and what is next."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import click

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


@click.command()
@nodes_argument(required=False)
@click.option("-w", "--watch", is_flag=True, help="Go on, and move as the nodes do.")
@click.option("--each/--fold", default=None, help="One row a node, or alike nodes in one row.")
@click.option("--check", is_flag=True, help="Exit with 4 unless all nodes have converged.")
@output_option
def status(nodes: str, watch: bool, each: bool | None, check: bool, output: str) -> None:
    """Show which state nodes are in, since when, why, and what is next.

    Alike nodes are folded into one row when there are many.
    """
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            ask(lambda client: _watch(client, nodes, each, output))
        return

    async def look(client: Client) -> tuple[About, list[NodeRow], list[BudgetRow]]:
        return await client.about(), await client.status(nodes), await client.budgets()

    about, rows, budgets = ask(look)
    show(rows, output, lambda: _drawn(about, rows, each, budgets))
    if check and any(row.phase != "converged" for row in rows):
        click.get_current_context().exit(TROUBLE)


def _drawn(
    about: About, rows: Sequence[NodeRow], each: bool | None, budgets: Sequence[BudgetRow]
) -> Iterable[RenderableType]:
    from rich.text import Text

    from kedge.cli.budgets import queue_lines
    from kedge.cli.render import status_table, summary_line

    if not rows:
        yield Text("No nodes yet. Describe them in a folder, then: kedge apply FOLDER")
    else:
        yield status_table(rows, time.time(), each=each)
        yield summary_line(rows)
    for line in queue_lines(budgets):
        yield Text(line, style="yellow")
    for name, why in about.degraded.items():
        yield Text(f"degraded: {name}: {why}", style="red")
    if about.strangers:
        were = "machine was" if about.strangers == 1 else "machines were"
        yield Text(f"{about.strangers} unknown {were} seen: kedge strangers", style="yellow")


async def _watch(client: Client, nodes: str, each: bool | None, output: str) -> None:
    from kedge.cli.waiting import looks

    if output != "table":
        async for rows in looks(client, nodes):
            show(rows, output, lambda: ())
        return
    from rich.console import Group
    from rich.live import Live

    screen = console()
    with Live(console=screen, auto_refresh=False, screen=False) as live:
        last: list[NodeRow] = []
        about, budgets = await client.about(), await client.budgets()

        async def tick() -> None:
            while True:
                live.update(Visible(Group(*_drawn(about, last, each, budgets))), refresh=True)
                await asyncio.sleep(1.0 if screen.is_terminal else 10.0)

        ticking: asyncio.Task[None] | None = None
        try:
            async for last in looks(client, nodes):
                about, budgets = await client.about(), await client.budgets()
                ticking = ticking or asyncio.create_task(tick())
                live.update(Visible(Group(*_drawn(about, last, each, budgets))), refresh=True)
        finally:
            if ticking is not None:
                ticking.cancel()
