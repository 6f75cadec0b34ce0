"""Sub-masters on diskless machines that the cluster boots itself, and a release that rolls through these.

Each test goes on from where the one before left the machines.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from hosts_cluster import HOSTS, NODES, SUBMASTERS, HostsCluster, Rows

from kedge import __version__

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and mmdebstrap"
    ),
]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsCluster]:
    with HostsCluster(tmp_path_factory.mktemp("hosts")) as cluster:
        yield cluster


def test_the_site_alone_brings_up_sub_masters_and_the_nodes_below(hosts: HostsCluster) -> None:
    hosts.apply()
    hosts.until_running(HOSTS, 900)
    hosts.tell("both machines run, and their sub-masters are heard")
    for host, name in SUBMASTERS.items():
        row = hosts.submasters()[name]
        assert (row["state"], row["version"]) == ("there", __version__)
        assert row["address"].startswith(f"10.77.0.2{host[-1]}") and row["node"] == host
    hosts.until_running(NODES, 900)
    hosts.tell("both nodes below them run")
    hosts.until_owners("sm1", "sm2")
    for node, host in zip(NODES, HOSTS, strict=True):
        assert hosts.rows()[node]["owner"] == SUBMASTERS[host]
        console = hosts.lab.console_text(node)  # whichever of the two came up first booted it
        assert "http://10.77.0.2" in console and "http://10.77.0.1:" not in console


def test_a_release_rolls_through_the_machines_of_sub_masters(hosts: HostsCluster) -> None:
    before, last = hosts.boot_ids((*HOSTS, *NODES)), hosts.last_event()
    hosts.release("B", "2")
    hosts.kedge("rollout", "start", "update", "--release", "B", "--yes")
    away: list[str] = []

    def look(rows: Rows, submasters: Rows) -> None:
        silent = [name for name, row in submasters.items() if row["state"] != "there"]
        gone = [name for name in HOSTS if rows[name]["stage"] != "running"]
        assert len(silent) <= 1, "one is there all the while"
        assert len(gone) <= 1, "no machine goes before the other one is back"
        assert not (gone and silent and SUBMASTERS[gone[0]] != silent[0]), (gone, silent)
        away.extend(name for name in gone if name not in away)

    found = hosts.roll(look, 1500)
    assert (found["state"], found["done"]) == ("done", 2), found
    assert sorted(away) == [*HOSTS]
    rows, submasters = hosts.rows(), hosts.submasters()
    assert all(rows[name]["phase"] == "converged" for name in HOSTS)
    assert all(row["state"] == "there" for row in submasters.values()), submasters
    hosts.until_owners("sm1", "sm2")
    hosts.tell("each group is its preferred sub-master's again")
    hosts.until_running(NODES, 300)

    after = hosts.boot_ids((*HOSTS, *NODES))
    assert all(after[name] != before[name] for name in HOSTS)
    assert {n: after[n] for n in NODES} == {n: before[n] for n in NODES}, "no node was rebooted"
    for host in HOSTS:
        assert hosts.node(host)["configured"]["release.wanted"]["value"] == "B"
    steps = [e for n in NODES for e in hosts.events(n, after=last) if e["what"] == "step"]
    assert not [e for e in steps if e["subject"].startswith("power.")], steps
