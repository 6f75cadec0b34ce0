"""The HTTP boot server: a node's script once per permit, blobs to nodes, firmware to everybody.

Who asks is told by the address of the TCP connection, which a stranger cannot forge and answer. Bytes
go out by sendfile; nothing of a request's path is used before it has the one form it may have.
"""

from __future__ import annotations

import asyncio
import base64
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiohttp import web

from kedge.lib.errors import KedgeError
from kedge.modules.boot.firmware import firmware_files
from kedge.modules.boot.layer0.record import Layer0, load_record
from kedge.modules.boot.machines import Machine, Machines, canonical_mac, machines_of
from kedge.modules.boot.notes import Notes
from kedge.modules.boot.place import BootSettings, Place, find_place, moved
from kedge.modules.boot.records import blob_path, wanted_image
from kedge.modules.boot.script import (
    Load,
    boot_script,
    check_arguments,
    kedge_arguments,
    wait_script,
)
from kedge.modules.port import Io, Node
from kedge.site.model import Site

Give = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOK_S = 1.0
BACKLOG = 4096
KEEPALIVE_S = 15.0
WAIT_S, PROBLEM_WAIT_S, STRANGER_WAIT_S = 2, 10, 30
FIRMWARE_S, BLOB_S = 300.0, 3600.0
"""How long somebody may take to read a file; an agent goes on behind what it has."""
SCRIPT = "text/plain"


@dataclass
class BootServer:
    """The request handlers; everything they know is read from ``io`` when they are asked."""

    io: Io
    settings: BootSettings
    place: Place
    notes: Notes
    chance: Random = field(default_factory=Random)
    _site: Site | None = None
    _machines: Machines = field(default_factory=lambda: Machines({}, {}))

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=1024)
        application.router.add_get("/boot/{mac}", self.give_script, allow_head=False)
        application.router.add_get("/blobs/{digest}", _within(BLOB_S, self.give_blob))
        application.router.add_get("/firmware/{name}", _within(FIRMWARE_S, self.give_firmware))
        return application

    @property
    def machines(self) -> Machines:
        """Who is who, as the site is applied now."""
        if self._site is not self.io.site:
            self._site = self.io.site
            self._machines = machines_of(self._site, self.settings.network)
        return self._machines

    async def give_script(self, request: web.Request) -> web.StreamResponse:
        """``/boot/<mac>``: the node's script, or one that says why not and asks again."""
        mac = canonical_mac(request.match_info["mac"])
        if mac is None:
            raise web.HTTPNotFound
        source = request.remote or ""
        machine = self.machines.by_mac.get(mac)
        if machine is None and self.io.is_peer(source):
            return self._wait(mac, "another parent boots it", PROBLEM_WAIT_S, renew=True)
        if machine is None:
            if self.notes.stranger_may_be_told():
                self.io.observe_stranger(mac, {"address": source})
            return self._wait(
                mac, f"{mac} is in no file of this cluster", STRANGER_WAIT_S, renew=True
            )
        if source != machine.address:
            self.notes.refused(machine.node, "boot.script", f"asked for from {source}, which is "
                               f"not its address {machine.address}")  # fmt: skip
            return self._wait(
                mac, f"{source} is not the address of {machine.node}", PROBLEM_WAIT_S, renew=True
            )
        return self._script_for(machine)

    def _script_for(self, machine: Machine) -> web.StreamResponse:
        node = self.io.node(machine.node)
        if node is None:
            raise web.HTTPNotFound
        self.io.observe(machine.node, {"boot.stage": "loader"}, by="boot")
        try:
            load = self._load(node, machine)
            permit = self.io.take_permit(machine.node, load.blobs)
            if permit is None:
                self.notes.refused(machine.node, "boot.script", "asked for without a boot permit: "
                                   "it is not being booted, or has its script already")  # fmt: skip
                return self._wait(machine.mac, f"{machine.node} is not to boot now", WAIT_S)
            token = base64.urlsafe_b64encode(permit.token).decode().rstrip("=")
            script = boot_script(load.with_permit(permit.epoch, token))
        except KedgeError as error:
            self.notes.refused(machine.node, "boot.script", str(error))
            return self._wait(machine.mac, f"{machine.node}: {error.what}", PROBLEM_WAIT_S)
        return web.Response(text=script, content_type=SCRIPT, headers={"Cache-Control": "no-store"})

    def _load(self, node: Node, machine: Machine) -> _Prepared:
        state_dir = self.io.state_dir
        arch = str(node.configured("boot.arch") or "x86_64")
        image = wanted_image(state_dir, node.configured("image.wanted"), arch)
        layer0 = load_record(state_dir, arch)
        extra = node.configured("boot.args")
        written = [str(argument) for argument in extra] if isinstance(extra, list) else []
        arguments = check_arguments([*image.args, *written], machine.node)
        initrds = (("layer0", layer0.initramfs.blob), ("modules", image.modules.blob))
        load = Load(machine.node, self.place.url, image.kernel.blob, initrds, arguments)
        parents = ",".join(self.io.parents(machine.node)) or self.place.parent
        return _Prepared(load, machine.mac, parents, layer0)

    def _wait(
        self, mac: str, reason: str, seconds: int, *, renew: bool = False
    ) -> web.StreamResponse:
        spread = self.chance.randrange(1 + seconds // 2)
        url = f"{self.place.url}/boot/{mac}"
        script = wait_script(reason, url, seconds + spread, renew=renew)
        return web.Response(text=script, content_type=SCRIPT, headers={"Cache-Control": "no-store"})

    async def give_blob(self, request: web.Request) -> web.StreamResponse:
        """``/blobs/sha256:<hex>``: a blob, whole or in ranges, to addresses of nodes and sub-masters
        only."""
        source = request.remote or ""
        if source not in self.machines.by_address and not self.io.is_peer(source):
            self.notes.refused("", "boot.blobs", f"asked for from {source}, which is no node's")
            raise web.HTTPForbidden
        return _file(blob_path(self.io.state_dir, request.match_info["digest"]))

    async def give_firmware(self, request: web.Request) -> web.StreamResponse:
        """``/firmware/<name>``: iPXE, to whoever boots."""
        return _file(firmware_files(self.io.state_dir).get(request.match_info["name"]))


@dataclass(frozen=True, slots=True)
class _Prepared:
    load: Load
    mac: str
    parent: str
    layer0: Layer0

    @property
    def blobs(self) -> tuple[str, ...]:
        """What the node fetches until its agent has joined."""
        initrds = (digest for _, digest in self.load.initrds)
        return (self.load.kernel, *initrds, self.layer0.squashfs.blob)

    def with_permit(self, epoch: str, token: str) -> Load:
        load = self.load
        own = kedge_arguments(
            url=load.url,
            node=load.node,
            mac=self.mac,
            epoch=epoch,
            token=token,
            parent=self.parent,
            layer0=self.layer0.squashfs.blob,
            sha512=self.layer0.sha512,
        )
        return Load(load.node, load.url, load.kernel, load.initrds, (*load.arguments, *own))


def _within(most_s: float, give: Give) -> Give:
    """``give``, its file sent whole within ``most_s``: who reads no further keeps no connection."""

    async def give_whole(request: web.Request) -> web.StreamResponse:
        response = await give(request)
        try:
            async with asyncio.timeout(most_s):
                await response.prepare(request)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response

    return give_whole


def _file(path: Path | None) -> web.StreamResponse:
    if path is None or not path.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})


async def serve(io: Io, settings: BootSettings) -> None:
    """Serve HTTP for as long as it is not cancelled; raises `KedgeError` when it cannot."""
    place = find_place(io.site, settings)
    server = BootServer(io, settings, place, Notes(io))
    runner = web.AppRunner(
        server.application(), access_log=None, keepalive_timeout=KEEPALIVE_S, handle_signals=False
    )
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, place.address, settings.http_port, backlog=BACKLOG)
            await site.start()
        except OSError as error:
            raise _cannot_listen(place, error) from error
        io.event("", "service", "boot.http", f"boot files are served at {place.url}")
        while io.site.networks.get(settings.network) == place.described:
            await asyncio.sleep(LOOK_S)
        raise moved(place)
    finally:
        await runner.cleanup()


def _cannot_listen(place: Place, error: OSError) -> KedgeError:
    where = f"{place.address}:{place.settings.http_port}"
    if error.errno == errno.EADDRINUSE:
        return KedgeError(
            "boot.port_taken",
            "the port of the boot server is taken",
            where=where,
            next_step=f"See by whom: ss -ltnp 'sport = {place.settings.http_port}'; "
            "or set boot.http_port",
        )
    return KedgeError(
        "boot.cannot_listen",
        "boot files cannot be served",
        where=where,
        why=error.strerror or str(error),
        next_step="Check boot.address in the configuration file, and this machine's addresses",
    )
