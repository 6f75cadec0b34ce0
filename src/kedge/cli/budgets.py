"""``kedge budgets``: who uses what there is only so much of, and who waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from kedge.cli.output import show
from kedge.cli.session import ask, output_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.shapes.paths import BudgetRow

POOLS_MOST = 4


@click.command()
@output_option
def budgets(output: str) -> None:
    """Show how much of each budget is used, by whom, and who waits.

    out_of_service counts nodes that are out of service, taken out by Kedge or down by themselves.
    """
    rows = ask(lambda client: client.budgets())
    show(rows, output, lambda: _drawn(rows))


def _drawn(rows: Sequence[BudgetRow]) -> Iterable[RenderableType]:
    from kedge.cli.render import short, table

    if not rows:
        return ["No budgets. Give some under budgets: in the site's folder."]
    made = table("budget", "pool", "used", "by", "waiting", "first")
    for row in rows:
        by = short(row.users)
        if row.down:
            by += " (down by itself)" if row.down == row.users else f" (down: {short(row.down)})"
        made.add_row(
            row.budget, row.pool, f"{row.used} of {row.limit}{_share(row)}", by,
            str(row.waiting_count or ""), ", ".join(row.first[:3]),
        )  # fmt: skip
    return [made]


def _share(row: BudgetRow) -> str:
    """What the process that is asked may use of a limit that it shares with other owners."""
    return "" if row.share is None else f" (here: {row.share})"


def queue_lines(rows: Sequence[BudgetRow]) -> list[str]:
    """One line for each pool that somebody waits for; one for all of a budget where these are many. Who waits
    for a full rack waits in the queue of the cluster too, which is not what is missing."""
    from kedge.cli.render import count, pool_name, short

    pools: dict[str, list[BudgetRow]] = {}
    full = {row.budget for row in rows if row.waiting_count and _is_full(row)}
    for row in rows:
        if row.waiting_count and (_is_full(row) or row.budget not in full):
            pools.setdefault(row.budget, []).append(row)
    many = {budget: found for budget, found in pools.items() if len(found) > POOLS_MOST}
    lines = [
        f"{count(sum(row.waiting_count for row in found), 'node')} waiting for {budget} of "
        f"{len(found)} pools ({', '.join(row.pool for row in found[:3])}, ...). See: kedge budgets"
        for budget, found in many.items()
    ]
    return lines + [
        f"{count(row.waiting_count, 'node')} waiting for {row.budget} of {pool_name(row.pool)}: "
        f"{row.used} of {row.limit} used by {short(row.users) or 'nobody'}"
        for budget, found in pools.items()
        if budget not in many
        for row in found
    ]


def _is_full(row: BudgetRow) -> bool:
    return row.used >= (row.limit if row.share is None else min(row.limit, row.share))
