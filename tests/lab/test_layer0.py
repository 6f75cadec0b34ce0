"""Layer0 and the agent on real machines: from a kernel's start to a running image, and what goes wrong.

Each machine starts its kernel directly (no firmware, no DHCP server or master of ours): QEMU's user
network gives the address, a tiny head serves blobs and the state sync on loopback.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import layer0_image
import pytest
from layer0_head import Blobs, Head
from layer0_machine import Machine, kernel_arguments

from kedge.lib.host_files import HostFile, files_digest
from kedge.modules.boot.layer0 import build, load_record
from kedge.modules.boot.layer0.record import Layer0
from kedge.sync.events import Resumed

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="building a test image needs root"),
]

ORDER = "order/image.activate"
SLOW_S = 240.0  # a loaded machine under software emulation
FILE = {"path": "/etc/kedge-test", "mode": "0640", "content": base64.b64encode(b"one\n").decode()}


@pytest.fixture(scope="module")
def heavy() -> Iterator[None]:
    """One heavy thing at a time on this machine."""
    with layer0_image.HEAVY.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def image() -> layer0_image.Image:
    return layer0_image.image()


@pytest.fixture(scope="module")
def state(image: layer0_image.Image, heavy: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with layer0 built from this checkout."""
    folder = tmp_path_factory.mktemp("state")
    build("x86_64", folder)
    return folder


class Bench:
    """A head, its blobs and the machines started on them."""

    def __init__(self, folder: Path, state: Path, image: layer0_image.Image) -> None:
        self.folder, self.image = folder, image
        self.record: Layer0 = load_record(state, "x86_64")
        self.store = state / "blobs" / "sha256"
        self.blobs, self.head = Blobs(self.store), Head()
        self.machine: Machine | None = None

    def start(self, record: dict[str, Any], extra: str = "", memory: int = 1024) -> Machine:
        self.head.configure({"node": {"name": "n1", "hostname": "node-one"}} | record)
        arguments = kernel_arguments(self.head, self.blobs, self.record.squashfs.blob, extra)
        initramfs = self.store / self.record.initramfs.blob.removeprefix("sha256:")
        initrds = [initramfs, self.image.modules]
        self.machine = Machine(self.folder, self.image.kernel, initrds, arguments, memory)
        return self.machine

    def wait(self, until: Callable[[], bool], timeout_s: float = SLOW_S) -> None:
        try:
            self.head.wait(until, timeout_s)
        except AssertionError as problem:
            console = self.machine.console[-3000:] if self.machine else ""
            pytest.fail(f"{problem}\n{console}")

    def reports(self, name: str, value: Any) -> Callable[[], bool]:
        return lambda: self.head.discovered(name) == value

    def answer(self) -> dict[str, Any]:
        return self.head.discovered(ORDER) or {}

    def close(self) -> None:
        if self.machine is not None:
            self.machine.close()
        self.blobs.close()
        self.head.close()


@pytest.fixture
def bench(state: Path, image: layer0_image.Image, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, state, image)
    yield made
    made.close()


def test_from_the_kernel_to_a_running_systemd_image_and_off(bench: Bench) -> None:
    args = bench.image.order(bench.store)
    record = {"files": [FILE], ORDER: {"id": "step-1", "args": args}}
    bench.blobs.break_after[bench.record.squashfs.blob] = 3_000_000  # resumed by the initramfs
    bench.blobs.break_after[args["layers"][0]["blob"]] = 5_000_000  # resumed by the agent
    machine = bench.start(record)

    bench.wait(bench.reports("boot.stage", "layer0"))
    bench.wait(lambda: bench.answer().get("status") == "running")
    assert bench.head.discovered("image.running") is None
    bench.wait(bench.reports("boot.stage", "running"))
    assert bench.head.discovered("image.running") == args["digest"]
    assert bench.answer() == {"id": "step-1", "status": "done"}
    one = HostFile("/etc/kedge-test", b"one\n", 0o640)
    assert bench.head.discovered("files.running") == files_digest([one])
    bench.wait(bench.reports("init.failed", ["broken.service"]))
    facts = bench.head.discovered("facts")
    assert facts["cpus"] == 2 and facts["arch"] == "x86_64"
    progress = [value for name, value in bench.head.history if name == "progress" and value]
    assert progress and all(0 <= step["share"] <= 1 for step in progress)
    assert any(wanted.startswith("bytes=") for _, wanted in bench.blobs.requests)

    bench.wait(lambda: "node-one login:" in machine.console)

    # The order is not carried out again, and a changed file is applied live.
    two = FILE | {"content": base64.b64encode(b"two\n").decode()}
    bench.head.configure({"files": [two], ORDER: {"id": "step-1", "args": args}})
    bench.wait(
        bench.reports("files.running", files_digest([HostFile("/etc/kedge-test", b"two\n", 0o640)]))
    )
    # Asked again for the image that runs, all is well; for another one it says that it cannot.
    bench.head.configure({"files": [two], ORDER: {"id": "step-2", "args": args}})
    bench.wait(lambda: bench.answer() == {"id": "step-2", "status": "done"})
    other = args | {"digest": "sha256:" + "0" * 64}
    bench.head.configure({"files": [two], ORDER: {"id": "step-3", "args": other}})
    bench.wait(lambda: bench.answer().get("status") == "failed")
    assert bench.answer()["error"]["code"] == "agent.stage"
    assert bench.head.discovered("boot.stage") == "running"

    bench.head.configure({"order/power.shutdown": {"id": "step-4", "args": {"action": "off"}}})
    bench.wait(lambda: machine.is_off)
    assert ("order/power.shutdown", {"id": "step-4", "status": "done"}) in bench.head.history


KILL = """#!/bin/sh
sleep 3
for process in /proc/[0-9]*; do
    tr '\\0' ' ' <$process/cmdline | grep -q '[s]tart-agent.pyc --stage layer0' && kill -9 ${process#/proc/}
done
"""
KILLER = """[Unit]
DefaultDependencies=no
After=kedge-agent.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/kill-agent
"""


def host_file(path: str, mode: str, text: str) -> dict[str, str]:
    return {"path": path, "mode": mode, "content": base64.b64encode(text.encode()).decode()}


def test_an_agent_that_is_killed_is_started_anew(bench: Bench) -> None:
    args = bench.image.order(bench.store)
    units = "/etc/systemd/system"
    wants = "[Unit]\nWants=killer.service\n"
    files = [
        host_file("/usr/local/sbin/kill-agent", "0755", KILL),
        host_file(f"{units}/killer.service", "0644", KILLER),
        host_file(f"{units}/multi-user.target.d/killer.conf", "0644", wants),
    ]
    bench.start({"files": files, ORDER: {"id": "step-1", "args": args}})
    bench.wait(bench.reports("boot.stage", "running"))
    before = len(bench.head.events)
    bench.wait(lambda: any(isinstance(event, Resumed) for event in bench.head.events[before:]))
    assert bench.head.discovered("boot.stage") == "running"
    bench.head.configure({"order/power.shutdown": {"id": "step-2", "args": {"action": "off"}}})
    machine = bench.machine
    assert machine is not None
    bench.wait(lambda: machine.is_off)


def test_a_corrupt_layer_leaves_the_node_in_layer0_and_a_new_order_goes_through(
    bench: Bench,
) -> None:
    args = bench.image.order_of((bench.image.no_systemd,), bench.store)
    bad = args["layers"][0]["blob"]
    bench.blobs.corrupt.add(bad)
    bench.start({ORDER: {"id": "step-1", "args": args}}, memory=384)
    bench.wait(lambda: bench.answer().get("status") == "failed")
    assert bench.answer()["error"]["code"] == "image.corrupt"
    assert bad in bench.answer()["error"]["where"]
    assert bench.head.discovered("boot.stage") == "layer0"
    assert bench.head.discovered("image.running") is None

    # The same node takes the next order; the image has no systemd, so the agent is kept alive.
    bench.blobs.corrupt.clear()
    bench.head.configure({ORDER: {"id": "step-2", "args": args}})
    bench.wait(bench.reports("boot.stage", "running"))
    assert bench.head.discovered("image.running") == args["digest"]
    assert bench.answer() == {"id": "step-2", "status": "done"}
    bench.head.configure({"order/power.shutdown": {"id": "step-3", "args": {}}})
    assert bench.machine is not None
    machine = bench.machine
    bench.wait(lambda: machine.is_off)


def test_a_damaged_or_missing_layer0_is_fetched_until_it_is_right(bench: Bench) -> None:
    layer0 = bench.record.squashfs.blob
    bench.blobs.corrupt.add(layer0)
    machine = bench.start({}, memory=384)
    bench.wait(lambda: "arrived damaged" in machine.console)
    assert bench.head.events == []
    bench.blobs.corrupt.clear()
    bench.wait(bench.reports("boot.stage", "layer0"))


def test_the_same_packages_build_the_same_layer0(state: Path, tmp_path: Path) -> None:
    again = build("x86_64", tmp_path)
    first = load_record(state, "x86_64")
    assert again.initramfs == first.initramfs
    assert again.squashfs == first.squashfs
    assert list((tmp_path / "tmp").iterdir()) == []


def test_arm64_is_built_without_emulation(heavy: None, tmp_path: Path) -> None:
    record = build("aarch64", tmp_path)
    squashfs = tmp_path / "blobs/sha256" / record.squashfs.blob.removeprefix("sha256:")
    assert squashfs.stat().st_size == record.squashfs.size_bytes > 10_000_000
    assert set(record.firmware) == {"undionly.kpxe", "snponly.efi", "ipxe-arm64.efi"}
