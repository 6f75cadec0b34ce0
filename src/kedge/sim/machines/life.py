"""What a simulated machine does once it has power: firmware, network boot, layer0 with the production agent,
and an image.

It knows nothing of Kedge but what the boot server's script tells it. It may sit in its firmware for ever,
and its init may never come up.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

from kedge.agent.boot_arguments import parse_command_line
from kedge.agent.place import LAYER0, RUNNING, Place
from kedge.sim.machines import ipxe
from kedge.sim.machines.body import AgentRun, Memory, Owner
from kedge.sim.machines.traits import Ills, Outside
from kedge.sim.machines.work import Fetcher, fetch_until


class Living(Owner, Fetcher, Protocol):
    """The machine, as far as it is the stage of what happens here."""

    mac: str
    outside: Outside
    ills: Ills
    memory: Memory
    agent: AgentRun | None
    image: str
    network_first: bool
    network_once: bool

    def reaches(self, url: str) -> bool: ...
    @property
    def chance(self) -> random.Random: ...
    def enter(self, stage: str) -> None: ...


class Life:
    """From one start of a machine to its end. ``init_up``: the image's init has come up."""

    def __init__(self, machine: Living) -> None:
        self._machine = machine
        self._arguments = ""
        self.init_up = False

    async def run(self) -> None:
        """From the firmware to the image, again and again."""
        machine, times = self._machine, self._machine.outside.times
        while True:
            machine.enter("firmware")
            await self._take(times.firmware)
            if machine.ills.sits_in_firmware or not (machine.network_once or machine.network_first):
                await asyncio.get_running_loop().create_future()
            machine.network_once = False
            machine.enter("loader")
            try:
                kernel = await ipxe.boot(machine.get, self._dhcp)
            except (OSError, ipxe.Failed):
                continue  # the firmware begins its list of devices again
            machine.enter("kernel")
            await self._take(times.kernel)
            self._arguments = kernel.arguments
            await self._run_layer0()
            await self._run_image()

    async def _dhcp(self) -> str:
        """The first that has an address for this machine, and is reached, has the word."""
        machine = self._machine
        for url in machine.outside.boot_urls(machine.name):
            script = f"{url}/boot/{machine.mac}"
            if machine.reaches(script):
                return script
        raise OSError("nobody answers")

    async def _run_layer0(self) -> None:
        machine = self._machine
        layer0 = self._arguments.partition("kedge.layer0=")[2].partition(" ")[0]
        await fetch_until(machine, f"{self.url()}/blobs/{layer0}", give_up_s=0)
        machine.enter(LAYER0)
        while not self._chosen_image():
            await self._run_agent(LAYER0)
            if not self._chosen_image():
                await asyncio.sleep(5.0)

    async def _run_image(self) -> None:
        self._machine.enter("init")
        self._machine.begin(self._bring_up_init())
        while True:
            await self._run_agent(RUNNING)
            await asyncio.sleep(2.0)

    async def _bring_up_init(self) -> None:
        machine = self._machine
        await self._take(machine.outside.times.init)
        image = self._chosen_image()
        if not machine.ills.init_never_up and machine.outside.ill(image) != "init":
            self.init_up = True
            machine.enter(RUNNING)
            machine.image = image

    def _chosen_image(self) -> str:
        """The image that the agent has handed over to; empty: none yet."""
        return str(self._machine.memory.load_object("state.json").get("image") or "")

    async def _run_agent(self, stage: str) -> None:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def end(code: int) -> None:
            if not ended.done():
                ended.set_result(code)

        self._machine.agent = AgentRun(self._machine, stage, self._place, end)
        await ended

    def url(self) -> str:
        """Where the head of this boot serves files."""
        return parse_command_line(self._arguments).url

    def _place(self, stage: str) -> Place:
        return Place(stage, parse_command_line(self._arguments), self._machine.memory)

    async def _take(self, span: tuple[float, float]) -> None:
        await asyncio.sleep(self._machine.chance.uniform(*span))
