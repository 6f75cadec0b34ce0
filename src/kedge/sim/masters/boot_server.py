"""A simulated head's boot server: the production request handlers, without a socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from aiohttp import web

from kedge.master.process.attribution import current_module
from kedge.modules.boot.http import BootServer
from kedge.modules.boot.notes import Notes
from kedge.modules.boot.place import boot_settings, find_place
from kedge.modules.port import Io
from kedge.sim.world.loop import Loop
from kedge.sim.world.web import Answer, Server, Web

SITE_LOOK_S = 5.0


@dataclass
class BootIlls:
    """What is wrong with a boot server now."""

    refuses: bool = False
    slow_s: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a boot server is: the web, its ills, its chance, and who hears of the scripts it gives."""

    web: Web
    ills: BootIlls
    chance: random.Random
    sizes: Mapping[str, int]
    given: Callable[[str, Answer], None]


async def serve_boot_files(where: Place, io: Io) -> None:
    """Stands for the boot module's services."""
    settings = boot_settings(io)
    running = asyncio.get_running_loop()
    while True:
        while settings.network not in io.site.networks:
            await asyncio.sleep(SITE_LOOK_S)
        place = find_place(io.site, settings)
        server = BootServer(io, settings, place, Notes(io, running.time), where.chance)
        address = (place.address, settings.http_port)
        where.web.listen(address, Server(cast("Loop", running), _Answering(where, server).answer))
        while io.site.networks.get(settings.network) == place.described:
            await asyncio.sleep(SITE_LOOK_S)


class _Request(NamedTuple):
    """What the boot server's handlers read of a request."""

    match_info: Mapping[str, str]
    remote: str


class _Answering:
    """Turns a path into the call of a handler, and what it returns into an answer."""

    def __init__(self, where: Place, server: BootServer) -> None:
        self._where = where
        self._server = server

    async def answer(self, path: str, remote: str) -> Answer:
        current_module.set("boot")  # here the asking machine's context is another's
        ills = self._where.ills
        if ills.slow_s:
            await asyncio.sleep(ills.slow_s)
        if ills.refuses:
            return Answer(503)
        _, kind, name = path.split("/", 2)
        keys = {"boot": "mac", "blobs": "digest", "firmware": "name"}
        asked = cast("web.Request", _Request({keys[kind]: name}, remote))
        server = self._server
        handlers = {
            "boot": server.give_script,
            "blobs": server.give_blob,
            "firmware": server.give_firmware,
        }
        try:
            response = await handlers[kind](asked)
        except web.HTTPException as refused:
            return Answer(refused.status)
        if isinstance(response, web.Response):
            answer = Answer(response.status, response.text or "")
            self._where.given(name, answer)
            return answer
        served = cast("Path", response._path)  # type: ignore[attr-defined]
        return Answer(response.status, "", self._where.sizes.get(name, 1000), served)
