"""What Kedge must survive, on real machines: one cluster, from powered off through one fault after another.

The tests build on one another: each leaves the cluster converged.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from cluster import Cluster

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODES = ("n1", "n2", "n3", "n4")


def test_from_power_off_to_the_running_image(cluster: Cluster) -> None:
    assert all(cluster.lab.power(name) == "off" for name in NODES)
    cluster.apply()
    cluster.until_running(NODES)
    for name in NODES:
        node = cluster.node(name)
        assert node["facts"]["facts"]["arch"] == ("aarch64" if name == "n4" else "x86_64")
        assert not node["facts"].get("init.failed")
        assert "Handing over to the image" in cluster.lab.console_text(name)
    images = cluster.ask("image", "list")
    assert {image["digest"] for image in images} == {cluster.node(name)["image"] for name in NODES}


def test_a_killed_machine_runs_again_with_nobodys_help(cluster: Cluster) -> None:
    before = cluster.boot_ids(NODES)
    cluster.lab.kill("n1")
    cluster.until("n1 is missed", lambda rows: rows["n1"]["phase"] != "converged", 120)
    cluster.until_running(NODES)
    after = cluster.boot_ids(NODES)
    assert after["n1"] != before["n1"]
    assert {n: after[n] for n in NODES[1:]} == {n: before[n] for n in NODES[1:]}


def test_a_hung_bmc_and_a_wrong_password_hold_nobody_up(cluster: Cluster) -> None:
    last = cluster.last_event()
    cluster.lab.fault("n2", "bmc-hang")
    cluster.lab.fault("n3", "bmc-wrong-password")
    try:
        cluster.kedge("node", "set", "--yes", "n3", "power.state=off")
        cluster.kedge("power", "cycle", "n1", "--yes")
        cluster.until("n1 is on its way", lambda rows: rows["n1"]["phase"] != "converged", 60)
        cluster.until_running(["n1"])
        rows = cluster.until(
            "both say what is wrong",
            lambda rows: bool(rows["n2"]["failures"]) and rows["n3"]["phase"] == "quarantined",
            120,
        )
    finally:
        for name in ("n2", "n3"):
            cluster.lab.fault(name, "clear")
    told = {n: rows[n]["why"] + rows[n]["next"] for n in ("n2", "n3")}
    assert "answer" in told["n2"] and "10.78.0.12" in told["n2"]
    assert "credentials" in told["n3"] and "kedge secret set" in told["n3"]
    assert rows["n2"]["stage"] == "running", "only the BMC of n2 hangs"
    steps = [e for e in cluster.events("n1", after=last) if e["what"] == "step"]
    assert not [step for step in steps if step["after"] in ("failed", "timeout")]
    cluster.kedge("node", "unset", "--yes", "n3", "power.state")
    cluster.until(
        "both BMCs answer again",
        lambda rows: not any(rows[n]["failures"] for n in NODES),
        180,
    )
    cluster.until_running(NODES)


def test_a_killed_head_goes_on_where_it_was(cluster: Cluster) -> None:
    others = cluster.boot_ids(NODES[1:])
    cluster.kedge("power", "cycle", "n1", "--yes")
    cluster.until("n1 asks for its script", lambda rows: rows["n1"]["stage"] == "loader", 120)
    cluster.stop(signal.SIGKILL)
    time.sleep(3)
    cluster.start()
    cluster.until_running(NODES)
    on = [e for e in cluster.events("n1") if e["subject"] == "power.switch_on"]
    assert on[-1]["seq"] < last_start(cluster), "n1 was switched on again after the restart"
    assert cluster.boot_ids(NODES[1:]) == others

    everybody = cluster.boot_ids(NODES)
    cluster.stop(signal.SIGKILL)
    cluster.start()
    cluster.until_running(NODES)
    time.sleep(5)
    cluster.until_running(NODES)
    assert cluster.boot_ids(NODES) == everybody


def last_start(cluster: Cluster) -> int:
    starts = [
        event["seq"]
        for event in cluster.ask("events", "--limit", "5000")
        if event["what"] == "master" and event["subject"] == "start"
    ]
    return int(starts[-1])


def test_an_image_that_cannot_be_had_leaves_the_node_where_it_was(cluster: Cluster) -> None:
    before = cluster.boot_ids(["n1", "n2"])
    missing = f"10.77.0.1:5000/compute@sha256:{'0' * 64}"
    cluster.kedge("node", "set", "--yes", "n1", f"image.wanted={missing}")
    cluster.push("compute", "3", variant="b")
    corrupt_top_layer(cluster, "compute", "3")
    cluster.kedge("node", "set", "--yes", "n2", "image.wanted=10.77.0.1:5000/compute:3")
    rows = cluster.until(
        "both say why they stay",
        lambda rows: all(rows[n]["phase"] == "quarantined" for n in ("n1", "n2")),
        240,
    )
    assert all(rows[n]["stage"] == "running" for n in ("n1", "n2"))
    assert cluster.boot_ids(["n1", "n2"]) == before
    assert "manifest unknown" in rows["n1"]["why"] and "damaged" in rows["n2"]["why"]
    assert all("kedge node retry" in rows[n]["next"] for n in ("n1", "n2"))
    cluster.kedge("node", "unset", "--yes", "n[1-2]", "image.wanted")
    cluster.until_running(NODES)
    assert cluster.boot_ids(["n1", "n2"]) == before


def test_a_layer_corrupted_on_its_way_to_the_node_is_never_mounted(cluster: Cluster) -> None:
    layer = cluster.ask("image", "show", "10.77.0.1:5000/compute:1")[0]["layers"][-1]["blob"]
    file = cluster.state / "blobs/sha256" / layer.removeprefix("sha256:")
    good = file.read_bytes()
    file.write_bytes(bytes([good[0]]) + bytes(byte ^ 0xFF for byte in good[1:]))
    cluster.kedge("power", "cycle", "n1", "--yes")
    rows = cluster.until(
        "n1 says what is wrong with the layer",
        lambda rows: "image.activate" in rows["n1"]["why"] and layer[-12:] in rows["n1"]["why"],
        300,
    )
    assert rows["n1"]["stage"] != "running"
    file.write_bytes(good)
    cluster.kedge("node", "retry", "n1")
    cluster.until_running(NODES)


def corrupt_top_layer(cluster: Cluster, image: str, tag: str) -> None:
    """Flip bytes in the registry's copy of the last layer of an image."""
    store = cluster.lab.paths.bulk / "registry/docker/registry/v2"
    link = store / f"repositories/{image}/_manifests/tags/{tag}/current/link"
    manifest = blob(store, link.read_text())
    layer = blob(store, json.loads(manifest.read_text())["layers"][-1]["digest"])
    content = bytearray(layer.read_bytes())
    content[len(content) // 2] ^= 0xFF
    layer.write_bytes(content)


def blob(store: Path, digest: str) -> Path:
    algorithm, _, name = digest.partition(":")
    return store / f"blobs/{algorithm}/{name[:2]}/{name}/data"


def test_nodes_move_to_a_changed_image(cluster: Cluster) -> None:
    before = cluster.node("n2")["image"]
    cluster.push("compute", "2", variant="b")
    cluster.kedge("node", "set", "--yes", "n2", "image.wanted=10.77.0.1:5000/compute:2")
    cluster.until("n2 moves", lambda rows: rows["n2"]["phase"] != "converged", 60)
    cluster.until_running(NODES)
    assert cluster.node("n2")["image"] != before


def test_a_machine_in_no_file_is_listed_and_disturbs_nobody(cluster: Cluster) -> None:
    before = cluster.boot_ids(NODES)
    cluster.lab.switch("stranger", "on")
    deadline = time.monotonic() + 120
    while not cluster.ask("strangers"):
        assert time.monotonic() < deadline, cluster.lab.console_text("stranger")[-2000:]
        time.sleep(2)
    (seen,) = cluster.ask("strangers")
    assert seen["mac"] == "52:54:00:77:00:99"
    cluster.lab.switch("stranger", "off")
    assert "stranger" not in cluster.rows()
    cluster.until_running(NODES)
    assert cluster.boot_ids(NODES) == before
