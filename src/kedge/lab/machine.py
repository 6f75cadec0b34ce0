"""One virtual machine: the chassis that its BMC controls and the QEMU process inside it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import time
from pathlib import Path

import msgspec

from kedge.lab import network, processes, qemu, qmp
from kedge.lab.description import Description
from kedge.lab.description import Machine as Described
from kedge.lab.paths import Paths, private
from kedge.lib.errors import KedgeError

log = logging.getLogger(__name__)
START_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 10.0
CONSOLE_MAX_BYTES = 16 << 20
BOOT_DEVICES = ("none", "pxe", "disk")


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """What the chassis knows: on or off, and the process when on."""

    on: bool
    pid: int | None = None
    memory_bytes: int = 0
    uptime_s: float = 0.0
    next_boot: str = "none"


class Machine:
    """Switches one machine on and off; every method is absolute and safe to repeat."""

    def __init__(self, description: Description, described: Described, paths: Paths) -> None:
        self.described = described
        self.name = described.name
        self.uuid = qemu.machine_uuid(description.name, described.name)
        self._lab = description
        self._home = paths.machine(self.name)
        self._paths = paths
        self._qmp = self._home / "qmp.sock"
        self._once: str | None = None
        self._lock = asyncio.Lock()
        self._process: processes.Process | None = None
        self._child: asyncio.subprocess.Process | None = None

    def adopt(self, found: dict[str, processes.Process]) -> None:
        """Take over the machine's process from an earlier daemon, where one still runs."""
        self._process = found.get(f"machine-{self.name}")

    def power(self) -> Power:
        """The live state, read from the process itself."""
        process, once = self._process, self._once or "none"
        if process is None or not process.alive():
            return Power(on=False, next_boot=once)
        return Power(
            on=True,
            pid=process.pid,
            memory_bytes=process.memory_bytes(),
            uptime_s=round(process.uptime_s(), 1),
            next_boot=once,
        )

    def set_next_boot(self, device: str) -> None:
        """Choose the device of the next power-on only: none, pxe or disk."""
        if device not in BOOT_DEVICES:
            raise KedgeError(
                "lab.boot_device",
                f"this machine cannot boot from {device!r}",
                where=self.name,
                next_step=f"Valid values: {', '.join(BOOT_DEVICES)}",
            )
        self._once = None if device == "none" else device

    async def switch_on(self) -> None:
        """Start QEMU unless it runs; returns when QEMU answers."""
        async with self._lock:
            if self.power().on:
                return
            once, self._once = self._once, None
            await self._start(once)
            log.info("%s: power on, pid %s", self.name, self._process and self._process.pid)

    async def switch_off(self) -> None:
        """Cut the power: the process is killed; returns when it is gone."""
        async with self._lock:
            process = self._process
            if process is None or not process.send(signal.SIGKILL):
                return
            deadline = time.monotonic() + KILL_TIMEOUT_S
            while process.alive() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            log.info("%s: power off", self.name)

    async def press_button(self) -> None:
        """Ask the operating system to shut down (ACPI); whether it does is its own affair."""
        await self._monitor("system_powerdown")

    async def reset(self) -> None:
        """Reset the running machine."""
        await self._monitor("system_reset")

    async def _monitor(self, name: str) -> None:
        if not self.power().on:
            return
        try:
            await qmp.execute(self._qmp, (name, {}))
        except qmp.QmpError as error:
            if self.power().on:
                raise KedgeError(
                    "lab.qemu_silent", f"{name} failed", where=self.name, why=str(error)
                ) from error

    async def _start(self, once: str | None) -> None:
        command = qemu.command(
            self.described,
            lab=self._lab.name,
            accelerator=self._lab.accelerator,
            tap=network.tap_name(self._lab.machines.index(self.described), self.name),
            home=self._home,
            disks=self._make_disks(),
            once=once,
        )
        self._prepare_files()
        with (self._home / "qemu.log").open("wb") as output:
            self._child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=processes.mark(self._lab.name, f"machine-{self.name}"),
                cwd=self._home,
                start_new_session=True,
            )
        self._process = processes.look(self._child.pid)
        await self._await_qmp(self._child)
        if once == "pxe":
            await self._restore_order("nic0", qemu.NIC_INDEX)
        elif once == "disk" and self.described.disks_gb:
            await self._restore_order("disk0", qemu.DISK_INDEX)

    async def _restore_order(self, device: str, index: int) -> None:
        """The firmware has its order already; this one holds from the next reset on."""
        where = {"path": f"/machine/peripheral/{device}", "property": "bootindex", "value": index}
        try:
            await qmp.execute(self._qmp, ("qom-set", where))
        except qmp.QmpError as error:
            log.warning("%s: the boot order stays changed: %s", self.name, error)

    async def _await_qmp(self, child: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        reason = ""
        while time.monotonic() < deadline and child.returncode is None:
            try:
                await qmp.execute(self._qmp)
                return
            except qmp.QmpError as error:
                reason = str(error)
                await asyncio.sleep(0.05)
        if child.returncode is not None:
            lines = (self._home / "qemu.log").read_text(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"QEMU ended with status {child.returncode}"
        raise KedgeError(
            "lab.qemu_failed",
            "QEMU did not start",
            where=self.name,
            why=reason,
            next_step=f"Read {self._home / 'qemu.log'}",
        )

    def _prepare_files(self) -> None:
        self._qmp.unlink(missing_ok=True)
        console = self._home / "console.log"
        if console.exists() and console.stat().st_size > CONSOLE_MAX_BYTES:
            console.replace(console.with_suffix(".log.1"))
        with console.open("a") as file:
            file.write(f"\n--- {self.name}: power on, {time.strftime('%Y-%m-%d %H:%M:%S')} ---\n")
        files = qemu.firmware(self.described)
        if files is not None and not (self._home / "nvram.fd").exists():
            shutil.copyfile(files[1], self._home / "nvram.fd")

    def _make_disks(self) -> list[Path]:
        disks: list[Path] = []
        for number, size_gb in enumerate(self.described.disks_gb):
            disk = self._paths.disk(self.name, number)
            private(disk.parent)
            if not disk.exists():
                with disk.open("wb") as file:
                    file.truncate(size_gb << 30)
            disks.append(disk)
        return disks
