"""An IPMI BMC: Debian's ipmi_sim, one process per machine, acting through `chassis_control`."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
from pathlib import Path

from kedge.lab.bmc import Login
from kedge.lab.description import Description, Machine
from kedge.lab.kept import Kept, program
from kedge.lab.machine import Machine as Chassis
from kedge.lab.paths import Paths, private, write_private
from kedge.lib.errors import KedgeError

UDP_PORT = 623
LAN = """\
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
COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


class IpmiBmc:
    """One ipmi_sim process."""

    def __init__(
        self,
        description: Description,
        machine: Machine,
        chassis: Chassis,
        paths: Paths,
        login: Login,
    ) -> None:
        assert machine.bmc is not None
        self._name = machine.name
        self._address = machine.bmc.address
        self._guid = chassis.uuid.replace("-", "")
        self._home = paths.bmc(machine.name)
        self._socket = paths.socket
        self._login = login
        self._hung = False
        self._wrong = False
        self._kept = Kept(
            description.name,
            f"bmc-{machine.name}",
            (
                program("ipmi_sim", "openipmi"),
                *["-n", "-c", "lan.conf", "-f", "bmc.emu", "-s", "state"],
            ),
            self._home,
            self._bound,
        )

    async def start(self) -> None:
        """Start ipmi_sim; returns when its port is bound."""
        self._write_files()
        await self._kept.start()

    async def stop(self) -> None:
        """End ipmi_sim."""
        await self._kept.stop()

    async def set_hang(self, hang: bool) -> None:
        """Stop the process where it stands (SIGSTOP), or let it go on."""
        self._hung = hang
        self._kept.send(signal.SIGSTOP if hang else signal.SIGCONT)

    async def set_wrong_password(self, wrong: bool) -> None:
        """Start again with a password that nobody knows, or with the lab's."""
        self._wrong = wrong
        await self.stop()
        await self.start()
        if self._hung:
            await self.set_hang(True)

    def state(self) -> str:
        """``up``, ``hung`` or ``down``."""
        if not self._kept.alive():
            return "down"
        return "hung" if self._hung else "up"

    async def _bound(self) -> bool:
        """Whether the BMC's port is open, as the kernel lists it (address bytes reversed)."""
        octets = reversed(self._address.split("."))
        wanted = "".join(f"{int(octet):02X}" for octet in octets) + f":{UDP_PORT:04X}"
        return f" {wanted} " in Path("/proc/self/net/udp").read_text()

    def _write_files(self) -> None:
        state = self._home / "state"
        shutil.rmtree(state, ignore_errors=True)  # it would remember an earlier password
        private(state)
        text = LAN.format(
            name=self._name,
            address=self._address,
            port=UDP_PORT,
            guid=self._guid,
            python=sys.executable,
            program=Path(__file__).with_name("chassis_control.py"),
            socket=self._socket,
            username=self._login.username,
            password=secrets.token_hex(8) if self._wrong else self._login.password,
        )
        write_private(self._home / "lan.conf", text)
        write_private(self._home / "bmc.emu", COMMANDS)


async def control(chassis: Chassis, words: list[str]) -> str:
    """Carry out what ipmi_sim asked of `chassis_control` and return what it reads back."""
    match words:
        case ["get", *names]:
            power = chassis.power()
            # ipmi_sim says "default" for the first disk.
            boot = "default" if power.next_boot == "disk" else power.next_boot
            answers = {"power": str(int(power.on)), "boot": boot}
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
            chassis.set_next_boot("disk" if device == "default" else device)
        case ["set", "identify", *_]:
            pass
        case _:
            raise KedgeError("lab.chassis", f"unknown chassis request {' '.join(words)!r}")
    return ""
