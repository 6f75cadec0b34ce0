"""Running a module's own verb, with the progress that it publishes while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kedge.cli.output import console, say
from kedge.cli.session import ask
from kedge.cli.visible import visible

if TYPE_CHECKING:
    from kedge.client.client import Client


def act(module: str, action: str, args: Mapping[str, Any], *, topic: str = "") -> Any:
    """The verb's answer; messages of ``topic`` ({"what", "share"}) are shown as they come."""

    async def work(client: Client) -> Any:
        if not topic:
            return await client.act(module, action, args)
        showing = asyncio.create_task(_show_progress(client, topic))
        try:
            await asyncio.sleep(0)
            return await client.act(module, action, args)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    return ask(work)


async def _show_progress(client: Client, topic: str) -> None:
    screen = console(err=True)
    if not screen.is_terminal:
        told = ""
        async for message in client.watch(topic):
            what = str(message.content.get("what", ""))
            if what and what != told:
                told = what
                say(what)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("begun", total=1.0)
        async for message in client.watch(topic):
            share = message.content.get("share")
            completed = float(share) if isinstance(share, int | float) else None
            what = visible(str(message.content.get("what", "")))
            progress.update(task, completed=completed, description=what or None)
