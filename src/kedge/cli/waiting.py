"""Waiting until nodes converge, with progress that moves; also the engine of ``status --watch``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedge.cli.output import console, say
from kedge.cli.trouble import DONE, LATE, TROUBLE
from kedge.cli.visible import Visible
from kedge.lib.nodeset import fold
from kedge.shapes.nodes import SETTLED, NodeRow

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.client.client import Client

LOOK_LEAST_S = 0.3
LOOK_MOST_S = 5.0
LOOK_SHARE = 5
"""Looking at many nodes takes the master some time: leave it so many times that for its own work."""

SURE_S = 1.5
"""Trouble must last so long before it is believed: a plan may be on its way."""


@asynccontextmanager
async def news(client: Client) -> AsyncGenerator[asyncio.Event]:
    """An event that is set whenever something happened."""
    heard = asyncio.Event()

    async def listen() -> None:
        async for _ in client.watch("event", "node", "lagged"):
            heard.set()

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def looks(client: Client, nodes: str) -> AsyncIterator[list[NodeRow]]:
    """The status of nodes: now, and after whatever happens to any."""
    async with news(client) as heard:
        while True:
            heard.clear()
            began = time.monotonic()
            rows = await client.status(nodes)
            took_s = time.monotonic() - began
            yield rows
            await asyncio.sleep(max(LOOK_LEAST_S, took_s * LOOK_SHARE))
            try:
                async with asyncio.timeout(LOOK_MOST_S):
                    await heard.wait()
            except TimeoutError:
                continue


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for: in words, and whether a node is there."""

    words: str
    there: Callable[[NodeRow], bool]


CONVERGED = Wanted("converged", lambda row: row.phase == "converged")
RUNNING = Wanted("running", lambda row: row.stage == "running")
WANTED = {"converged": CONVERGED, "running": RUNNING}


def verdict(
    rows: Sequence[NodeRow], *, held_is_fine: bool = False, wanted: Wanted = CONVERGED
) -> int | None:
    """The exit status when every node has settled; None while any may still move."""
    if all(wanted.there(row) or (held_is_fine and row.phase == "held") for row in rows):
        return DONE
    if all(wanted.there(row) or row.phase in ("converged", *SETTLED) for row in rows):
        return TROUBLE
    return None


def _drawn(rows: Sequence[NodeRow]) -> RenderableType:
    from rich.console import Group

    from kedge.cli.render import status_table, summary_line

    moving = [row for row in rows if row.phase != "converged"]
    return Visible(Group(status_table(moving or rows, time.time()), summary_line(rows)))


def _line_teller() -> Callable[[Sequence[NodeRow]], None]:
    """For those who read a log: one line whenever a node's phase or step changes."""
    told: dict[str, tuple[str, str, str]] = {}

    def tell(rows: Sequence[NodeRow]) -> None:
        from kedge.cli.alike import alike

        fresh: list[NodeRow] = []
        for row in rows:
            key = (row.phase, row.step, row.stage)
            if told.get(row.node) != key:
                told[row.node] = key
                fresh.append(row)
        for group in alike(fresh, each=False):
            row = group[0]
            why = f" ({row.why})" if row.why else ""
            step = f" {row.step}" if row.step else ""
            say(f"{fold(one.node for one in group)}: {row.phase}{step}, stage {row.stage}{why}")

    return tell


async def wait_converged(client: Client, nodes: str, timeout_s: float) -> int:
    """`wait_for` what is configured."""
    return await wait_for(client, nodes, timeout_s, CONVERGED)


async def wait_for(client: Client, nodes: str, timeout_s: float, wanted: Wanted) -> int:
    """Show progress until all nodes have settled or time is up; returns the exit status.

    A held node is trouble for who names it; among all nodes (an empty nodeset) it is as it should be.
    """
    screen = console(err=True)
    tell = _line_teller()
    live = None
    if screen.is_terminal:
        from rich.live import Live

        live = Live(console=screen, refresh_per_second=8, transient=False)
    rows: list[NodeRow] = []
    troubled_since: float | None = None
    code = LATE
    with live or nullcontext():
        try:
            async with asyncio.timeout(timeout_s):
                async for rows in looks(client, nodes):
                    if live is not None:
                        live.update(_drawn(rows))
                    else:
                        tell(rows)
                    found = verdict(rows, held_is_fine=not nodes, wanted=wanted)
                    if found == DONE:
                        code = DONE
                        break
                    now = time.monotonic()
                    troubled_since = (troubled_since or now) if found is not None else None
                    if troubled_since is not None and now - troubled_since >= SURE_S:
                        code = TROUBLE
                        break
        except TimeoutError:
            code = LATE
    _conclude(rows, code, timeout_s, wanted)
    return code


def _conclude(rows: Sequence[NodeRow], code: int, timeout_s: float, wanted: Wanted) -> None:
    if code == LATE:
        late = fold(row.node for row in rows if not wanted.there(row)) or "nodes"
        say(f"Not in time: {late} not {wanted.words} within {timeout_s:.0f} s. See: kedge status")
    for row in rows:
        if code == TROUBLE and not wanted.there(row):
            step = f" Next: {row.next}" if row.next else ""
            say(f"{row.node}: {row.phase}: {row.why}{step}")
    if code == DONE:
        there = fold(row.node for row in rows if wanted.there(row))
        say(f"{there or 'no node'}: {wanted.words}")
