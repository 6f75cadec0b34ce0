"""The DHCP service: Kea gives every node its reserved address and the boot file of its firmware."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.modules.boot import kea
from kedge.modules.boot.dhcp_config import render
from kedge.modules.boot.machines import machines_of
from kedge.modules.boot.place import BootSettings, find_place, strangers_pool
from kedge.modules.port import Io
from kedge.site.model import Site

LOOK_S = 1.0
"""How often the site is compared with what was pushed last (one identity check)."""


def configuration_of(site: Site, settings: BootSettings, socket: Path) -> dict[str, Any]:
    """Kea's configuration for the site as it is now; raises `KedgeError`."""
    place = find_place(site, settings)
    machines = machines_of(site, settings.network)
    shared = any(group.parents for group in site.groups.values())
    pool = strangers_pool(place, machines.by_address, shared=shared)
    rendered = render(place, machines, site.cluster.domain, str(socket), pool)
    rendered["Dhcp4"]["authoritative"] = not shared  # what another parent gave is not refused here
    return rendered


async def serve(io: Io, settings: BootSettings) -> None:
    """Serve DHCP for as long as it is not cancelled; raises `KedgeError` when it cannot."""
    if settings.dhcp == "external":
        await _keep_external(io, settings)
        return
    server = kea.Kea(kea.directory_of(io.state_dir))
    site = io.site
    server.prepare(configuration_of(site, settings, server.socket))
    try:
        await _serve_with(io, settings, server, site)
    finally:
        server.clean()


async def _serve_with(io: Io, settings: BootSettings, server: kea.Kea, site: Site) -> None:
    async with server.child() as child:
        await server.started(child)
        io.event("", "service", "boot.dhcp", f"Kea serves {len(site.nodes)} nodes")
        keeping = asyncio.create_task(_keep(io, settings, server.socket, site))
        ending = asyncio.create_task(child.ended())
        try:
            await asyncio.wait([keeping, ending], return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            raise ending.result()
        finally:
            keeping.cancel()
            ending.cancel()


async def _keep_external(io: Io, settings: BootSettings) -> None:
    if not settings.dhcp_socket:
        raise KedgeError(
            "boot.settings",
            "boot.dhcp is external, but boot.dhcp_socket is not set",
            next_step="Set boot.dhcp_socket to the control-socket of the site's kea-dhcp4",
        )
    await _keep(io, settings, Path(settings.dhcp_socket), None)


async def _keep(io: Io, settings: BootSettings, socket: Path, pushed: Site | None) -> None:
    """Push the configuration whenever the site was applied anew."""
    while True:
        site = io.site
        if site is not pushed:
            try:
                rendered = await asyncio.to_thread(configuration_of, site, settings, socket)
                await kea.command(socket, "config-set", rendered)
            except KedgeError as error:
                if pushed is None or error.code == "boot.dhcp_unreachable":
                    raise
                io.event("", "refused", "boot.dhcp", f"nodes keep what DHCP gave them: {error}")
            pushed = site
        await asyncio.sleep(LOOK_S)
