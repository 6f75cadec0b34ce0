"""``kedge wait``: for scripts that go on when Kedge answers, or when nodes are where they should be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kedge.cli.output import say
from kedge.cli.session import ask, nodes_argument
from kedge.cli.trouble import LATE
from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.client.client import Client

LOOK_S = 0.3


@click.command()
@nodes_argument(required=False)
@click.option(
    "--for",
    "until",
    type=click.Choice(["converged", "running", "api"]),
    default="converged",
    show_default=True,
    help="All nodes as configured; all run an image; Kedge itself answers.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=1800.0,
    show_default=True,
    help="How long to wait.",
)
def wait(nodes: str, until: str, timeout_s: float) -> None:
    """Wait until Kedge answers and the nodes (none named: all) have converged, or run.

    Exits with 3 when that is not in time, and with 4 when nodes are held, blocked or quarantined, so
    that nothing more will happen.
    """
    from kedge.cli.waiting import WANTED, wait_for

    began = time.monotonic()
    if not _answered(timeout_s):
        say(f"Not in time: Kedge did not answer within {timeout_s:.0f} s. See: kedge doctor")
        click.get_current_context().exit(LATE)
    if until != "api":
        left_s = max(0.0, timeout_s - (time.monotonic() - began))
        code = ask(lambda client: wait_for(client, nodes, left_s, WANTED[until]))
        click.get_current_context().exit(code)


def _answered(timeout_s: float) -> bool:
    """Whether Kedge answers in time; a head that is just being started has no socket yet."""
    until = time.monotonic() + timeout_s

    async def look(client: Client) -> None:
        await client.about()

    while True:
        try:
            ask(look)
        except KedgeError as error:
            if error.code not in ("api.unreachable", "client.token"):
                raise
        else:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_S)
