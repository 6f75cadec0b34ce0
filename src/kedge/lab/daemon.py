"""The process behind one lab: it lives in the lab's network namespace and owns all that runs there.

``python -m kedge.lab.daemon NAME`` (started by `kedge.lab.lab.Lab.up`) builds the network, starts
the registry and the BMCs, and obeys the control socket. Machines outlive it: killed and started
again, it finds them by their mark and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Any

from kedge.lab import (
    certificates,
    control,
    credentials,
    faults,
    ipmi,
    namespace,
    network,
    processes,
    registry_login,
)
from kedge.lab.bmc import Bmc
from kedge.lab.description import Description, load_saved
from kedge.lab.faults import Faults
from kedge.lab.ipmi import IpmiBmc
from kedge.lab.machine import Machine
from kedge.lab.paths import Paths
from kedge.lab.redfish import RedfishBmc
from kedge.lab.registry import Registry
from kedge.lab.router import Router
from kedge.lib.errors import KedgeError

log = logging.getLogger(__name__)
ROLE = "daemon"
END_GRACE_S = 2.0
FAILED_S = 5.0


class Daemon:
    """Everything of one lab that needs an event loop."""

    def __init__(self, description: Description, paths: Paths) -> None:
        self._description = description
        self._paths = paths
        self._machines = {
            described.name: Machine(description, described, paths)
            for described in description.machines
        }
        self._bmcs: dict[str, Bmc] = {}
        self._faults: dict[str, Faults] = {}
        self._registry: Registry | None = None
        self._router = Router(network.PROVISION)
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._failure: KedgeError | None = None
        self._steps: list[str] = []

    async def run(self) -> None:
        """Start, serve until told to end, and close the ports."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server = await control.serve(self._paths.socket, self._answer)
        try:
            await self._start()
        except KedgeError as error:
            self._failure = error
        except OSError as error:
            self._failure = KedgeError(
                "lab.start_failed", "the lab cannot start", why=str(error), where=self._last_step()
            )
        if self._failure is not None:
            log.error("%s", self._failure)
        self._ready.set()
        # After a failure it stays only until whoever started it has heard why.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), FAILED_S if self._failure else None)
        server.close()
        self._router.stop()
        for server_process in (*self._bmcs.values(), self._registry):
            if server_process is not None:
                await server_process.stop()

    async def _start(self) -> None:
        found = processes.find(self._description.name)
        for machine in self._machines.values():
            machine.adopt(found)
        # A BMC or registry of an earlier daemon would hold the ports.
        stale = [p for role, p in found.items() if role.startswith(("bmc-", "registry"))]
        processes.end(stale, END_GRACE_S)
        self._router.start()
        self._step("bridges prov and bmc, a tap for each machine")
        self._prepare_secrets()
        if self._description.registry.enabled:
            await self._start_registry()
        await asyncio.gather(*(self._start_bmc(name) for name in self._machines))
        for name, saved in faults.load(self._paths.faults).items():
            if name in self._machines:
                await self._set_faults(name, saved)
        self._step("ready")

    def _prepare_secrets(self) -> None:
        credentials.prepare(self._description, self._paths.secrets)
        addresses = [m.bmc.address for m in self._description.machines if m.bmc is not None]
        addresses.append(self._description.networks.head)
        pems = self._paths.run / "certificates"
        certificates.prepare(self._description.name, self._paths.authority, addresses, pems)
        self._paths.registry_ca.write_bytes(self._paths.authority.read_bytes())

    async def _start_registry(self) -> None:
        head = self._description.networks.head
        login = credentials.login(self._paths.secrets, "registry")
        address = f"{head}:{self._description.registry.port}"
        registry_login.write(address, login, self._paths.registry_auth)
        self._registry = Registry(
            self._description,
            self._paths,
            login,
            certificates.server_file(self._paths.run / "certificates", head),
        )
        await self._registry.start()
        self._step(f"registry at {address}")

    async def _start_bmc(self, name: str) -> None:
        machine = self._machines[name]
        described = machine.described.bmc
        if described is None:
            return
        login = credentials.login(self._paths.secrets, "bmc")
        if described.protocol == "ipmi":
            bmc: Bmc = IpmiBmc(self._description, machine.described, machine, self._paths, login)
        else:
            pems = self._paths.run / "certificates"
            pem = certificates.server_file(pems, described.address)
            bmc = RedfishBmc(machine.described, machine, login, pem)
        self._bmcs[name] = bmc
        await bmc.start()
        self._step(f"{name}: {described.protocol} BMC at {described.address}, powered off")

    def _last_step(self) -> str:
        return f"after {self._steps[-1]!r}" if self._steps else "at the beginning"

    def _step(self, text: str) -> None:
        log.info("%s", text)
        self._steps.append(text)

    async def _answer(self, request: dict[str, Any], tell: control.Tell) -> Any:
        op = request.get("op")
        if op == "ready":
            return await self._report_progress(tell)
        if op == "status":
            return self._status()
        machine = self._machines.get(str(request.get("machine")))
        if machine is None:
            raise KedgeError(
                "lab.no_machine",
                f"there is no machine {request.get('machine')!r}",
                next_step=f"Machines of this lab: {', '.join(self._machines)}",
            )
        match op:
            case "chassis":
                return await ipmi.control(machine, [str(word) for word in request["words"]])
            case "power":
                return await _switch(machine, str(request.get("to")))
            case "next-boot":
                return machine.set_next_boot(str(request.get("device")))
            case "fault":
                return await self._fault(machine, str(request["kind"]), request.get("value"))
            case _:
                raise KedgeError("lab.bad_request", f"unknown request {op!r}")

    async def _report_progress(self, tell: control.Tell) -> None:
        told = 0
        while True:
            for text in self._steps[told:]:
                await tell(text)
                told += 1
            if self._ready.is_set() and told == len(self._steps):
                break
            await asyncio.sleep(0.05)
        if self._failure is not None:
            raise self._failure

    async def _fault(self, machine: Machine, kind: str, value: str | None) -> None:
        old = self._faults.get(machine.name, Faults())
        await self._set_faults(machine.name, faults.changed(old, kind, value, machine.name))

    async def _set_faults(self, name: str, new: Faults) -> None:
        old = self._faults.get(name, Faults())
        tap = network.tap_name(list(self._machines).index(name), name)
        await faults.enact(old, new, tap, self._bmcs.get(name), name)
        self._faults[name] = new
        faults.save(self._paths.faults, self._faults)
        log.info("%s: faults now: %s", name, ", ".join(new.words()) or "none")

    def _status(self) -> dict[str, Any]:
        registry = None
        if self._registry is not None:
            address = f"{self._description.networks.head}:{self._description.registry.port}"
            registry = {"address": address, "up": self._registry.alive()}
        return {
            "daemon": {"pid": os.getpid()},
            "registry": registry,
            "machines": {name: self._machine_status(name) for name in self._machines},
        }

    def _machine_status(self, name: str) -> dict[str, Any]:
        power = self._machines[name].power()
        bmc = self._bmcs.get(name)
        return {
            "power": "on" if power.on else "off",
            "pid": power.pid,
            "memory_bytes": power.memory_bytes,
            "uptime_s": power.uptime_s,
            "next_boot": power.next_boot,
            "bmc": None if bmc is None else bmc.state(),
            "faults": self._faults.get(name, Faults()).words(),
        }


async def _switch(machine: Machine, to: str) -> None:
    match to:
        case "on":
            await machine.switch_on()
        case "off":
            await machine.switch_off()
        case "soft":
            await machine.press_button()
        case _:
            raise KedgeError(
                "lab.bad_power", f"{to!r} is no power state", next_step="Valid: on, off, soft"
            )


def main(name: str) -> None:
    """Run the daemon of the lab ``name`` until it is told to end."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s"
    )
    paths = Paths(name)
    description = load_saved(paths.description)
    namespace.enter(description.namespace)
    network.build(description)
    asyncio.run(Daemon(description, paths).run())


if __name__ == "__main__":
    main(sys.argv[1])
