"""Whether kedge serve answers, and what of it is degraded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kedge.cli.checks.finding import Finding, bad, good, note
from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.cli.session import Shared
    from kedge.shapes.nodes import About

TIMEOUT_S = 5.0


def check_socket(options: Shared) -> tuple[Finding, bool]:
    """Ask the master for its own state; also whether it answered."""
    try:
        about = asyncio.run(_about(options))
    except KedgeError as error:
        if error.code in ("api.unreachable", "client.token"):
            return note("kedge serve", str(error.what), error.next_step), False
        return bad("kedge serve", error.what, error.next_step or "journalctl -u kedge -e"), False
    if about.degraded:
        name, why = next(iter(about.degraded.items()))
        found = bad("kedge serve", f"runs, but {name} fails: {why}", "journalctl -u kedge -e")
        return found, True
    return good(
        "kedge serve",
        f"version {about.version} answers, {about.nodes} node{'' if about.nodes == 1 else 's'}",
    ), True


async def _about(options: Shared) -> About:
    from kedge.client.client import Client
    from kedge.client.endpoint import find_endpoint

    async with Client(find_endpoint(options.api, options.config), timeout_s=TIMEOUT_S) as client:
        return await client.about()
