"""Real programs, a master and sub-masters, from ``kedge init`` on: what an administrator types."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kedge.modules.boot.layer0.record import Blob, Layer0, digest_of, save_record
from kedge.modules.image.blobs import write_blob

KEDGE = str(Path(sys.executable).parent / "kedge")
SITE = """
cluster: { name: t, domain: t.example }
networks: { provision: { cidr: 127.0.0.0/8 } }
groups: { g: { nodes: "n[1-2]", parents: [sm1] } }
nodes: { "n[1-2]": { addresses: { provision: "127.9.0.{number}" } } }
"""


class Program:
    """One ``kedge serve`` and its commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "kedge.yaml"
        self.ports = [free_port() for _ in range(2)]
        self._serve: subprocess.Popen[bytes] | None = None

    def kedge(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [KEDGE, "--config", str(self.config), *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def ask(self, *words: str) -> Any:
        return json.loads(self.kedge(*words, "-o", "json").stdout)

    def configure(self, **more: Any) -> None:
        written = yaml.safe_load(self.config.read_text())
        sync, http = self.ports
        boot = {"address": "127.0.0.1", "interface": "lo", "dhcp": "off", "tftp": False}
        boot |= {"router_advertisements": False, "http_port": http, "parent": f"127.0.0.1:{sync}"}
        written |= {"sync": {"address": "127.0.0.1", "port": sync, "heartbeat_s": 1}, "boot": boot}
        tree = {**(written.get("tree") or {}), **more}
        self.config.write_text(yaml.safe_dump({**written, "tree": tree}))

    def start(self) -> None:
        with (self.home / "serve.log").open("a") as log:
            self._serve = subprocess.Popen(
                [KEDGE, "--config", str(self.config), "serve"], stdout=log, stderr=log
            )
        until(self._answers, 30)

    def _answers(self) -> bool:
        assert self._serve is not None
        assert self._serve.poll() is None, (self.home / "serve.log").read_text()[-3000:]
        return self.kedge("status", check=False).returncode == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._serve is not None:
            self._serve.send_signal(number)
            self._serve.wait(20)
            self._serve = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], object], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[tuple[Program, Program]]:
    master, sub = Program(tmp_path / "master"), Program(tmp_path / "sm1")
    try:
        yield master, sub
    finally:
        for program in (sub, master):
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.stop(signal.SIGKILL)


def layer0_of(program: Program) -> Blob:
    """Have a boot environment there; the one blob of which it is made."""
    state = program.home / "state"
    small = write_blob(state, b"an initramfs")
    blob = Blob(small.blob, small.size_bytes)
    record = Layer0("x86_64", digest_of(blob, blob, {}), blob, blob, {}, "2026-11-27T00:00:00")
    save_record(state, record)
    return blob


def place_of(program: Program, blob: Blob) -> Path:
    return program.home / "state/blobs/sha256" / blob.blob.removeprefix("sha256:")


def test_a_sub_master_is_added_and_serves(programs: tuple[Program, Program]) -> None:
    master, sub = programs
    master.kedge("init", str(master.home))
    master.configure(lease_s=10)
    master.start()
    (master.home / "site" / "site.yaml").write_text(SITE)
    refused = master.kedge("apply", "--yes", str(master.home / "site"), check=False)
    assert refused.returncode == 1 and "kedge submaster add sm1" in refused.stderr

    join = master.home / "sm1.join"
    told = master.kedge("submaster", "add", "sm1", "--file", str(join)).stderr
    assert "kedge init --role sub-master" in told
    assert join.stat().st_mode & 0o777 == 0o600
    assert json.loads(join.read_text())["token"] not in told + master.kedge("events").stdout
    blob = layer0_of(master)

    sub.kedge("init", str(sub.home), "--role", "sub-master", "--join", str(join))
    sub.configure(masters=[f"127.0.0.1:{master.ports[0]}"])
    sub.start()
    master.kedge("apply", "--yes", str(master.home / "site"))
    rows = master.ask("submaster", "list")
    until(lambda: master.ask("submaster", "list")[0]["owns"] == ["g"], 30)
    until(lambda: len(sub.ask("status", "--each")) == 2, 20)
    until(lambda: "owns" in rows[0] and master.ask("status", "--each")[0]["owner"] == "sm1", 20)
    until(lambda: (sub.home / "state/layer0/x86_64.json").exists(), 20)
    assert place_of(sub, blob).read_bytes() == b"an initramfs"
    assert "at the master" in sub.kedge("node", "hold", "n1", "--reason", "x", check=False).stderr

    master.stop(signal.SIGKILL)
    until(lambda: "no master answers" in sub.kedge("status").stdout, 30)
    sub.stop(signal.SIGKILL)
    sub.start()  # alone, with what it has
    assert len(sub.ask("status", "--each")) == 2
    master.start()
    until(lambda: master.ask("submaster", "list")[0]["state"] == "there", 30)
    sub.stop()
    until(lambda: "sm1 is silent" in master.kedge("status").stdout, 30)


def test_one_is_added_below_another_and_takes_its_blobs_from_it(
    programs: tuple[Program, Program], tmp_path: Path
) -> None:
    master, above = programs
    below = Program(tmp_path / "sm2")
    master.kedge("init", str(master.home))
    master.configure(lease_s=10)
    master.start()
    master.kedge("submaster", "add", "sm1", "--file", str(tmp_path / "sm1.join"))
    above.kedge(
        "init", str(above.home), "--role", "sub-master", "--join", str(tmp_path / "sm1.join")
    )
    above.configure(masters=[f"127.0.0.1:{master.ports[0]}"])
    above.start()
    blob = layer0_of(master)
    (master.home / "site" / "site.yaml").write_text(SITE)
    master.kedge("apply", "--yes", str(master.home / "site"))
    until(lambda: (above.home / "state/layer0/x86_64.json").exists(), 30)
    place_of(master, blob).unlink()  # from now on the one above alone has it
    found_at = f"127.0.0.1:{above.ports[0]}"
    until(lambda: master.ask("submaster", "list")[0]["address"] == found_at, 30)

    refused = master.kedge("submaster", "add", "sm2", "--below", "sm3", check=False)
    assert refused.returncode == 1 and "there is no sub-master 'sm3'" in refused.stderr
    join = tmp_path / "sm2.join"
    master.kedge("submaster", "add", "sm2", "--below", "sm1", "--file", str(join))
    told = json.loads(join.read_text())
    assert told["masters"] == [found_at]
    below.kedge("init", str(below.home), "--role", "sub-master", "--join", str(join))
    below.configure()
    try:
        below.start()
        (master.home / "site" / "site.yaml").write_text(SITE.replace("[sm1]", "[sm2]"))
        master.kedge("apply", "--yes", str(master.home / "site"))
        until(lambda: master.ask("submaster", "list")[1]["owns"] == ["g"], 60)
        row = master.ask("submaster", "list")[1]
        assert (row["name"], row["below"], row["state"]) == ("sm2", "sm1", "there")
        assert "below" in master.kedge("submaster", "list").stdout
        until(lambda: (below.home / "state/layer0/x86_64.json").exists(), 30)
        assert place_of(below, blob).read_bytes() == b"an initramfs"
        for program in (master, above, below):
            said = program.kedge("events").stdout + (program.home / "serve.log").read_text()
            assert told["token"] not in said
        kept = above.home / "state" / "kedge.db"  # where the token was kept for it
        assert kept.stat().st_mode & 0o777 == 0o600
    finally:
        below.stop(signal.SIGKILL)
