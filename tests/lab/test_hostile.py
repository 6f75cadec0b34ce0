"""What Kedge must not let happen, on a real cluster: an attacker on the provision network.

He hears every packet, sends from any address, and knows all tokens that were ever on the wire. The
cluster is the one of `test_cluster`; alone, these tests boot the node n1 only.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, Row

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

HOSTILE = str(Path(__file__).with_name("hostile.py"))
HEAD, N1, N2, ATTACKER = "10.77.0.1", "10.77.1.1", "10.77.1.2", "10.77.9.9"
MAC = "52:54:00:77:00:01"
SILENCE_S = 16.0  # longer than the head waits for a node that it has lost


@dataclass(frozen=True)
class Boot:
    """What was heard of one boot of n1: its datagrams to the head, its epoch and its token."""

    datagrams: tuple[bytes, ...]
    epoch: str
    token: str


class Attacker:
    """Everything is done in the lab's network, by processes of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._lab = cluster.lab
        self._heard = cluster.home / "heard"
        self._begin = 0
        with self._heard.open("w") as out:
            self._tap = self._lab.popen([sys.executable, HOSTILE, "tap"], stdout=out)

    def close(self) -> None:
        self._tap.terminate()
        self._tap.wait(10)

    def forget(self) -> None:
        """What was heard until now is of another boot."""
        self._begin = self._heard.stat().st_size

    def heard(self) -> Boot:
        """What is known of the boot since `forget`."""
        lines = self._heard.read_bytes()[self._begin :].decode().split("\n")[:-1]
        packets = [json.loads(line) for line in lines]
        up = [p for p in packets if p["udp"] and p["from"] == N1 and p["ports"][1] == 8471]
        scripts = [
            bytes.fromhex(p["payload"]).decode(errors="replace") for p in packets if not p["udp"]
        ]
        (script,) = (s for s in scripts if "kedge.node=n1 " in s and "#!ipxe" in s)
        epoch, token = secrets_of(script)
        return Boot(tuple(bytes.fromhex(p["payload"]) for p in up), epoch, token)

    def send(self, datagrams: Sequence[bytes], source: str) -> None:
        """Send datagrams to the head's sync port."""
        rows = [{"from": source, "port": 40404, "payload": each.hex()} for each in datagrams]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        self._lab.exec([sys.executable, HOSTILE, "inject"], input=lines)

    def join(self, node: str, epoch: str, token: str, source: str = ATTACKER) -> Row:
        """Try to come in as an agent."""
        return self._run("join", source, node, epoch, token)

    def get(self, path: str, source: str) -> Row:
        """Ask the boot server."""
        return self._run("get", source, path)

    def _run(self, *words: str) -> Row:
        return json.loads(self._lab.exec([sys.executable, HOSTILE, *words]).stdout)

    @contextmanager
    def address(self, address: str) -> Iterator[None]:
        """Own an address of the network for a while."""
        which = [f"{address}/32", "dev", "prov"]
        self._lab.exec(["ip", "address", "add", *which])
        try:
            yield
        finally:
            self._lab.exec(["ip", "address", "del", *which])


def secrets_of(script: str) -> tuple[str, str]:
    """The epoch and the token in a boot script."""
    found = re.search(r"kedge\.epoch=(\S+) kedge\.token=(\S+)", script)
    assert found is not None
    return found[1], found[2]


@pytest.fixture(scope="module")
def attacker(cluster: Cluster) -> Iterator[Attacker]:
    """He has heard how n1 booted."""
    attacker = Attacker(cluster)
    try:
        if cluster.rows():
            boot_again(cluster)
        else:
            cluster.edit("power.state: on", "power.state: off")
            cluster.apply()
            cluster.kedge("node", "set", "--yes", "n1", "power.state=on")
            cluster.until_running(["n1"])
        with attacker.address(ATTACKER):
            yield attacker
    finally:
        attacker.close()


def boot_again(cluster: Cluster) -> None:
    cluster.kedge("power", "cycle", "n1", "--yes")
    cluster.until("n1 goes down", lambda rows: rows["n1"]["phase"] != "converged", 60)
    cluster.until_running(["n1"])


@contextmanager
def nothing_changes(cluster: Cluster) -> Iterator[None]:
    """What is known of the nodes stays; the log gains refusals at most; n1 is not lost."""
    before, last = known(cluster), cluster.last_event()
    yield
    time.sleep(SILENCE_S)
    assert known(cluster) == before
    others = [e for e in cluster.events("n[1-2]", after=last) if e["what"] != "refused"]
    assert not others


def known(cluster: Cluster) -> dict[str, Any]:
    """What the head knows of two nodes, but for the times at which it saw it."""
    nodes: dict[str, Any] = {}
    for name in ("n1", "n2"):
        node = cluster.node(name)
        discovered = {what: seen["value"] for what, seen in node["discovered"].items()}
        facts = {"facts": node["facts"].get("facts")}
        nodes[name] = {**node, "discovered": discovered, "facts": facts}
    return nodes


def refusals(cluster: Cluster, last: int) -> set[str]:
    """Why somebody who called himself n1 was refused, by the log."""
    events = cluster.events("n1", after=last)
    return {event["cause"] for event in events if event["what"] == "refused"}


def test_replayed_datagrams_are_worth_nothing(cluster: Cluster, attacker: Attacker) -> None:
    boot, last = attacker.heard(), cluster.last_event()
    assert len(boot.datagrams) > 5
    with nothing_changes(cluster):
        for source in (N1, N2, ATTACKER):
            attacker.send(boot.datagrams, source)
    assert "token already used" in refusals(cluster, last)  # they did arrive


def test_forged_datagrams_are_worth_nothing(cluster: Cluster, attacker: Attacker) -> None:
    chance = random.Random(77)
    forged: list[bytes] = [b"", b"K", chance.randbytes(1200), chance.randbytes(64000)]
    for datagram in attacker.heard().datagrams:
        for at in (2, 5, 12, chance.randrange(16, len(datagram)), len(datagram) - 1):
            flipped = bytearray(datagram)
            flipped[at] ^= 1 << chance.randrange(8)
            forged.append(bytes(flipped))
        forged += [datagram[: chance.randrange(len(datagram))], datagram + b"\0"]
        forged.append(datagram.replace(b"n1", b"n2"))
    forged = [datagram for datagram in forged if len(datagram) < 1400]
    with nothing_changes(cluster):
        for source in (N1, ATTACKER):
            attacker.send(forged, source)
        for node in ("n1", "n2", "nobody"):
            assert not attacker.join(node, "9999.1", "A" * 43)["joined"]


def test_a_token_is_worth_nothing_after_its_use(cluster: Cluster, attacker: Attacker) -> None:
    boot, last = attacker.heard(), cluster.last_event()
    with nothing_changes(cluster):
        answer = attacker.join("n1", boot.epoch, boot.token)
        assert not answer["joined"] and answer["refused"]
        assert not attacker.join("n2", boot.epoch, boot.token)["joined"]
        term, counter = boot.epoch.split(".")
        assert not attacker.join("n1", f"{term}.{int(counter) + 1}", boot.token)["joined"]
    assert "not admitted" in refusals(cluster, last)


def test_the_boot_before_is_worth_nothing(cluster: Cluster, attacker: Attacker) -> None:
    former, boot_id = attacker.heard(), cluster.boot_ids(["n1"])
    attacker.forget()
    boot_again(cluster)
    assert cluster.boot_ids(["n1"]) != boot_id
    assert attacker.heard().epoch != former.epoch
    last = cluster.last_event()
    with nothing_changes(cluster):
        for source in (N1, ATTACKER):
            attacker.send(former.datagrams, source)
        answer = attacker.join("n1", former.epoch, former.token)
        assert not answer["joined"] and answer["refused"]
    assert "old epoch" in refusals(cluster, last)


def test_boot_files_go_to_their_node_only(cluster: Cluster, attacker: Attacker) -> None:
    images = cluster.ask("image", "list")
    blobs = [images[0]["kernel"]["blob"], *(layer["blob"] for layer in images[0]["layers"])]
    with nothing_changes(cluster):
        for source in (HEAD, ATTACKER):
            answer = attacker.get(f"/boot/{MAC}", source)
            assert "#!ipxe" in answer["body"]
            assert "kedge.token" not in answer["body"] and "kernel" not in answer["body"]
            assert all(attacker.get(f"/blobs/{blob}", source)["status"] == 403 for blob in blobs)


def test_a_permit_is_good_for_one_script(cluster: Cluster, attacker: Attacker) -> None:
    """The node n9 has a BMC, and the attacker for a machine."""
    site, macs = cluster.site / "cluster.yaml", cluster.site / "macs.csv"
    written = site.read_text(), macs.read_text()
    ours = "  n9:\n    profiles: [compute]\n    addresses: { provision: 10.77.1.9 }\n"
    ours += "    power.state: on\n    power.bmc.protocol: ipmi\n    power.bmc.address: 10.78.0.99\n"
    cluster.edit("    nodes: n[1-4]", "    nodes: n[1-4,9]")
    cluster.edit("nodes:\n  n[1-4]:", f"nodes:\n{ours}  n[1-4]:")
    macs.write_text(written[1] + "n9,provision,52:54:00:77:00:98\n")
    path, address = "/boot/52:54:00:77:00:98", "10.77.1.9"
    try:
        with attacker.address(address):
            cluster.apply()
            deadline = time.monotonic() + 120
            while "kedge.token" not in (script := attacker.get(path, address)["body"]):
                assert time.monotonic() < deadline, (script, cluster.node("n9"))
                assert "kedge.token" not in attacker.get(path, ATTACKER)["body"]
                time.sleep(0.5)
            assert "kedge.token" not in attacker.get(path, address)["body"]
            epoch, token = secrets_of(script)
            assert attacker.join("n9", epoch, token, address)["joined"]
            again = attacker.join("n9", epoch, token, address)
            assert not again["joined"] and again["refused"]
    finally:
        site.write_text(written[0])
        macs.write_text(written[1])
        cluster.apply()
        cluster.lab.switch("stranger", "off")
    assert "n9" not in cluster.rows()


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(site: Path) -> None:
        text = (site / name).read_text()
        assert old in text
        (site / name).write_text(text.replace(old, new))

    return edit


BAD_SITES: dict[str, tuple[Callable[[Path], None], str]] = {
    "yaml": (replaced("cluster.yaml", "name: lab", "name: [lab"), r"cluster\.yaml:\d+: .*not YAML"),
    "variable": (
        replaced("cluster.yaml", "image.wanted: 10.77.0.1:5000/compute", "image.wanded: x"),
        r"cluster\.yaml:19: unknown variable 'image.wanded'",
    ),
    "mac": (replaced("macs.csv", "00:02", "00:01"), r"macs\.csv:3: n2 .*the same MAC"),
    "address": (
        replaced("cluster.yaml", "10.77.1.{number}", "10.77.1.7"),
        r"cluster\.yaml:38: .*10\.77\.1\.7",
    ),
    "circle": (
        replaced("cluster.yaml", "  compute:\n", "  compute:\n    extends: compute-arm64\n"),
        r"cluster\.yaml:\d+: .*circle",
    ),
    "nodeset": (
        replaced("cluster.yaml", "nodes: n[1-4]", "nodes: n[1-4"),
        r"cluster\.yaml:33: .*not a nodeset",
    ),
}


@pytest.mark.parametrize("which", BAD_SITES)
def test_a_bad_site_changes_nothing(cluster: Cluster, tmp_path: Path, which: str) -> None:
    if not cluster.rows():
        cluster.apply()
    edit, complaint = BAD_SITES[which]
    bad = tmp_path / "site"
    shutil.copytree(cluster.site, bad)
    edit(bad)
    done: subprocess.CompletedProcess[str] = cluster.kedge("apply", "--yes", str(bad), check=False)
    assert done.returncode == 1
    complaints = [line for line in done.stderr.splitlines() if line.startswith("kedge: ")]
    assert len(complaints) == 1 and re.search(complaint, complaints[0])
    assert cluster.ask("diff", str(cluster.site)) == []
