"""An IPMI BMC: Debian's ipmi_sim, one process per machine, acting through `chassis_control`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import signal
import sys
from pathlib import Path

from kedge.lab import processes
from kedge.lab.bmc import Login
from kedge.lab.description import Description, Machine
from kedge.lab.machine import Machine as Chassis
from kedge.lab.paths import Paths, private, write_private
from kedge.lib.errors import KedgeError

log = logging.getLogger(__name__)
START_TIMEOUT_S = 10.0
RESTART_S = 1.0
UDP_PORT = 623

_LAN = """\
name "{name}"
set_working_mc 0x20
startlan 1
  addr {address} {port}
  priv_limit admin
  allowed_auths_callback none md2 md5
  allowed_auths_user none md2 md5
  allowed_auths_operator none md2 md5
  allowed_auths_admin none md2 md5
  guid {guid}
endlan
chassis_control "{python} -I -S {program} {socket} {name}"
user 1 false "" "" user 10 none
user 2 true "{username}" "{password}" admin 10 md5
"""
_COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


class IpmiBmc:
    """One ipmi_sim process; it is started again should it end by itself."""

    def __init__(
        self,
        description: Description,
        machine: Machine,
        chassis: Chassis,
        paths: Paths,
        login: Login,
    ) -> None:
        assert machine.bmc is not None
        self._lab = description.name
        self._name = machine.name
        self._address = machine.bmc.address
        self._guid = chassis.uuid.replace("-", "")
        self._home = paths.bmc(machine.name)
        self._socket = paths.socket
        self._login = login
        self._process: processes.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._hung = False
        self._wrong = False

    async def start(self) -> None:
        """Start ipmi_sim and keep it running; returns when its port is bound."""
        child = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(child))

    async def stop(self) -> None:
        """End ipmi_sim."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._process is not None:
            self._process.send(signal.SIGKILL)

    async def set_hang(self, hang: bool) -> None:
        """Stop the process where it stands (SIGSTOP), or let it go on."""
        self._hung = hang
        if self._process is not None:
            self._process.send(signal.SIGSTOP if hang else signal.SIGCONT)

    async def set_wrong_password(self, wrong: bool) -> None:
        """Start again with a password that nobody knows, or with the lab's."""
        if wrong == self._wrong:
            return
        self._wrong = wrong
        await self.stop()
        await self.start()
        await self.set_hang(self._hung)

    def state(self) -> str:
        """``up``, ``hung`` or ``down``."""
        if self._process is None or not self._process.alive():
            return "down"
        return "hung" if self._hung else "up"

    async def _keep(self, child: asyncio.subprocess.Process) -> None:
        while True:
            status = await child.wait()
            log.warning("%s: ipmi_sim ended with status %s; starting it again", self._name, status)
            await asyncio.sleep(RESTART_S)
            try:
                child = await self._spawn()
            except KedgeError as error:
                log.error("%s", error)

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = shutil.which("ipmi_sim", path="/usr/bin:/usr/sbin:/usr/local/bin")
        if program is None:
            raise KedgeError(
                "lab.no_ipmi_sim",
                "ipmi_sim is not installed",
                where=self._name,
                next_step="Install it: apt-get install openipmi",
            )
        self._write_files()
        output = self._home / "ipmi_sim.log"
        with output.open("wb") as file:
            child = await asyncio.create_subprocess_exec(
                *(program, "-n", "-c", "lan.conf", "-f", "bmc.emu", "-s", "state"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=processes.mark(self._lab, f"bmc-{self._name}"),
                cwd=self._home,
                start_new_session=True,
            )
        self._process = processes.look(child.pid)
        if not await self._bound(child):
            said = output.read_text(errors="replace").strip().splitlines()
            raise KedgeError(
                "lab.bmc_failed",
                f"ipmi_sim does not serve {self._address}:{UDP_PORT}",
                where=self._name,
                why=said[-1] if said else "it said nothing",
                next_step=f"Read {output}",
            )
        return child

    async def _bound(self, child: asyncio.subprocess.Process) -> bool:
        octets = reversed(self._address.split("."))
        wanted = "".join(f"{int(octet):02X}" for octet in octets) + f":{UDP_PORT:04X}"
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            if f" {wanted} " in Path("/proc/self/net/udp").read_text():
                return child.returncode is None
            if child.returncode is not None:
                return False
            await asyncio.sleep(0.05)
        return False

    def _write_files(self) -> None:
        state = self._home / "state"
        shutil.rmtree(state, ignore_errors=True)  # it would remember an earlier password
        private(state)
        password = secrets.token_hex(8) if self._wrong else self._login.password
        text = _LAN.format(
            name=self._name,
            address=self._address,
            port=UDP_PORT,
            guid=self._guid,
            python=sys.executable,
            program=Path(__file__).with_name("chassis_control.py"),
            socket=self._socket,
            username=self._login.username,
            password=password,
        )
        write_private(self._home / "lan.conf", text)
        write_private(self._home / "bmc.emu", _COMMANDS)


async def control(chassis: Chassis, words: list[str]) -> str:
    """Carry out what ipmi_sim asked of `chassis_control` and return what it reads back."""
    match words:
        case ["get", *names]:
            answers = {"power": str(int(chassis.power().on)), "boot": _boot(chassis)}
            return "".join(f"{name}:{answers[name]}\n" for name in names if name in answers)
        case ["set", "power", "1"]:
            await chassis.switch_on()
        case ["set", "power", "0"]:
            await chassis.switch_off()
        case ["set", "shutdown", _]:
            await chassis.press_button()
        case ["set", "reset", _]:
            await chassis.reset()
        case ["set", "boot", device]:
            # ipmi_sim says "default" for the first disk.
            chassis.set_next_boot({"default": "disk"}.get(device, device))
        case ["set", "identify", *_]:
            pass
        case _:
            raise KedgeError("lab.chassis", f"unknown chassis request {' '.join(words)!r}")
    return ""


def _boot(chassis: Chassis) -> str:
    return {"disk": "default"}.get(chassis.power().next_boot, chassis.power().next_boot)
