"""The tree on real machines: a sub-master dies, an uplink is cut, packets are lost, the master restarts.

Nothing reboots, and all converges. The tests build on one another.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from tree_cluster import TreeCluster

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODES = ("n1", "n2")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TreeCluster]:
    with TreeCluster(tmp_path_factory.mktemp("tree")) as cluster:
        yield cluster


def test_machines_boot_through_their_sub_masters(tree: TreeCluster) -> None:
    tree.apply()
    tree.until_running(NODES)
    tree.until_owners("sm1", "sm2")
    rows = tree.rows()
    assert {name: rows[name]["owner"] for name in NODES} == {"n1": "sm1", "n2": "sm2"}
    for name, sub in (("n1", tree.sm1), ("n2", tree.sm2)):
        assert f"10.77.0.{sub.number}" in tree.lab.console_text(name)
        assert sorted((sub.home / "state/blobs/sha256").glob("*")), "blobs lie near the nodes"


def test_what_an_owner_writes_reaches_an_agent_that_another_parent_hears(tree: TreeCluster) -> None:
    """sm1 owns n1 and does not reach it: its agent goes to sm2, and what sm1 writes takes that way."""
    before, last = tree.boot_ids(NODES), tree.last_event()
    files = tree.files("n1")
    tree.sm1.cut("10.77.1.1")
    try:
        tree.until_event("n1", last, "relayed")
        (tree.site / "motd.yaml").write_text("files: { /etc/motd: { text: relayed } }\n")
        asked = time.monotonic()
        tree.apply()
        tree.until("n1 has the file", lambda _: tree.files("n1") != files, 60)
        print(
            f"n1 had the file of its owner {time.monotonic() - asked:.1f} s after the apply began"
        )
        assert tree.rows()["n1"]["owner"] == "sm1"
    finally:
        tree.sm1.mend()
    tree.until_running(NODES, 120)
    assert tree.boot_ids(NODES) == before


def test_nothing_reboots_whatever_fails_above(tree: TreeCluster) -> None:
    before, last = tree.boot_ids(NODES), tree.last_event()
    for name in NODES:
        tree.lab.fault(name, "drop", 20)
    try:
        tree.sm1.stop(signal.SIGKILL)
        tree.until_owners("sm2", "sm2")
        tree.until_running(NODES, 180)
        assert "sm1 is silent" in tree.kedge("status").stdout

        tree.sm2.cut_uplink()
        tree.stop(signal.SIGKILL)
        time.sleep(3)
        tree.start()
        deadline = time.monotonic() + 120
        while "nobody acts on it" not in (said := tree.kedge("status").stdout):
            assert time.monotonic() < deadline, said
            time.sleep(2)
        while "destructive steps are held" not in (said := tree.sm2.about()["status"]):
            assert time.monotonic() < deadline, said
            time.sleep(2)

        tree.sm2.mend()
        tree.sm1.start()
        tree.until_owners("sm1", "sm2")
    finally:
        for name in NODES:
            tree.lab.fault(name, "clear")
    tree.until_running(NODES, 240)
    assert tree.boot_ids(NODES) == before
    steps = [e for n in NODES for e in tree.events(n, after=last) if e["what"] == "step"]
    assert not [e for e in steps if e["subject"] in ("power.switch_off", "power.shut_down")]
