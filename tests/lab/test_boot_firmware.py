"""QEMU machines of every firmware find their script and start their kernel with both archives.

No agent and no engine here: the permit is granted by the test, and an init of a few lines says what came.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from boot_material import HEAVY, SECOND, Material, material

from fakes import FakeIo, one_network_site
from kedge.core.node import Configuration
from kedge.lab import qemu
from kedge.lab.description import Machine
from kedge.modules import boot
from kedge.modules.boot import http
from kedge.modules.boot.script import wait_script
from private_network import can_make_networks, private_network

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.skipif(not can_make_networks(), reason="needs root"),
    pytest.mark.timeout(600),
]
TAP = "tuntap add tap0 mode tap\nlink set tap0 master prov up\n"
MAC, ADDRESS = "52:54:00:77:00:01", "10.77.1.1"
REFERENCE = "10.77.0.1:5000/compute:1"
BOOT_S = 150.0

MACHINES = {
    "bios": Machine(name="n1", mac=MAC, memory_mb=256),
    "uefi": Machine(name="n1", mac=MAC, firmware="uefi", nic_rom="none", memory_mb=384),
    "uefi-rom": Machine(name="n1", mac=MAC, firmware="uefi", memory_mb=384),
    "uefi-http": Machine(name="n1", mac=MAC, firmware="uefi-http", memory_mb=384),
    "arm64": Machine(name="n1", mac=MAC, arch="aarch64", firmware="uefi", memory_mb=512),
}


@dataclass
class Running:
    """A machine that runs, and what is on its console."""

    home: Path

    @property
    def console(self) -> str:
        log = self.home / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""


@pytest.fixture
def network() -> Iterator[None]:
    with private_network(TAP):
        yield


@pytest.fixture(params=list(MACHINES))
def machine(request: pytest.FixtureRequest) -> Machine:
    return MACHINES[request.param]


@pytest.fixture
async def io(network: None, tmp_path: Path, machine: Machine) -> AsyncIterator[FakeIo]:
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o700)
    put_records(state_dir, machine.arch, material(machine.arch))
    values = {
        "image.wanted": REFERENCE,
        "boot.arch": machine.arch,
        "boot.args": ["panic=0"],
    }
    configuration = Configuration(
        "n1", values, addresses={"provision": ADDRESS}, macs={"provision": MAC}
    )
    site = one_network_site({"n1": configuration})
    async with FakeIo(site, state_dir, modules=(boot.module,)) as io:
        await boot.serve(io)
        await io.until(lambda: len(io.events) >= 2)
        yield io
        assert not io.failures


def put_records(state_dir: Path, arch: str, files: Material) -> None:
    def blob(path: Path) -> str:
        hexadecimal = hashlib.sha256(path.read_bytes()).hexdigest()
        target = state_dir / "blobs" / "sha256" / hexadecimal
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        return f"sha256:{hexadecimal}"

    digest = "a" * 64
    console = "console=ttyAMA0" if arch == "aarch64" else "console=ttyS0"
    image = {
        "reference": REFERENCE,
        "digest": f"sha256:{digest}",
        "arch": arch,
        "kernel": {"version": "6", "blob": blob(files.kernel), "size_bytes": 1},
        "modules": {"blob": blob(files.modules), "size_bytes": 1},
        "args": [console],
    }
    initramfs = {"blob": blob(files.initramfs), "size_bytes": 1}
    layer0 = {
        "arch": arch,
        "digest": f"sha256:{digest}",
        "initramfs": initramfs,
        "squashfs": initramfs,
        "firmware": {name: blob(path) for name, path in files.firmware.items()},
        "created": "",
    }
    for folder, name, record in (("images", digest, image), ("layer0", arch, layer0)):
        (state_dir / folder).mkdir()
        (state_dir / folder / f"{name}.json").write_text(json.dumps(record))
    (state_dir / "pins.json").write_text(json.dumps({f"{REFERENCE} {arch}": f"sha256:{digest}"}))


@pytest.fixture
async def running(io: FakeIo, tmp_path: Path, machine: Machine) -> AsyncIterator[Running]:
    with HEAVY.open("w") as heavy:
        await asyncio.to_thread(fcntl.flock, heavy, fcntl.LOCK_EX)
        home = tmp_path / "machine"
        home.mkdir()
        files = qemu.firmware(machine)
        if files is not None:
            shutil.copyfile(files[1], home / "nvram.fd")
        command = qemu.command(
            machine, lab="boot", accelerator="tcg", tap="tap0", home=home, disks=[]
        )
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            yield Running(home)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_it_waits_for_its_permit_and_boots(io: FakeIo, running: Running) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        await io.until(lambda: "is not to boot now" in running.console, BOOT_S)
        asked_s = loop.time() - started
        assert io.fake_nodes["n1"].seen("boot.stage") == "loader"
        io.grant_boot("n1")
        granted = loop.time()
        await io.until(lambda: "second archive:" in running.console, BOOT_S)
        kernel_s = loop.time() - granted
        await asyncio.sleep(0.5)
    except TimeoutError:
        pytest.fail(f"{io.events}\n{running.console[-3000:]}")
    print(f"script asked for after {asked_s:.1f} s, init {kernel_s:.1f} s after the permit")
    assert f"KEDGE-TEST second archive: {SECOND}" in running.console
    (line,) = [one for one in running.console.splitlines() if "KEDGE-TEST arguments" in one]
    words = line.split()
    assert "panic=0" in words and "kedge.node=n1" in words and f"kedge.mac={MAC}" in words
    assert "kedge.epoch=1.1" in words and f"kedge.url={'http://10.77.0.1:8080'}" in words


@pytest.mark.parametrize("machine", [MACHINES["bios"]], ids=["bios"], indirect=False)
async def test_a_machine_that_waits_as_a_stranger_goes_to_whom_dhcp_names(
    io: FakeIo, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL that it was given leads nowhere, as that of a parent whose node it is not any more."""
    known = io.site
    io.configure(one_network_site({}))
    nowhere = partial(wait_script, url="http://10.77.0.1:9/boot/gone", seconds=2)
    monkeypatch.setattr(http, "wait_script", lambda why, url, s, renew: nowhere(why, renew=renew))
    try:
        await io.until(lambda: "is in no file" in running.console, BOOT_S)
        monkeypatch.undo()
        io.configure(known)
        await io.until(lambda: "is not to boot now" in running.console, BOOT_S)
    except TimeoutError:
        pytest.fail(f"{io.events}\n{running.console[-3000:]}")
