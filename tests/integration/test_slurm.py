"""The scheduler module on a real Slurm: slurmctld, slurmrestd and six slurmd in a namespace of its own.

Power, boot and image are simulated machines, so a node is rebooted in no time; Slurm knows nothing of that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kedge.master.assembly import Master
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.serve import running
from kedge.modules.boot import module as boot
from kedge.modules.health import module as health
from kedge.modules.image import module as image
from kedge.modules.power import module as power
from kedge.modules.release import module as release
from kedge.modules.scheduler import module as scheduler
from kedge.modules.scheduler.orders import carry_out
from kedge.modules.scheduler.slurm_command import Commands
from kedge.sim.devices import simulated
from private_network import can_make_networks, private_network
from slurm_cluster import Slurm, can_run_slurm, slurm

pytestmark = [
    pytest.mark.skipif(
        not (can_make_networks() and can_run_slurm()), reason="needs root and Debian's Slurm"
    ),
    pytest.mark.timeout(120),
]

NETWORK = "link add eth0 type veth peer name eth1\naddr add 10.99.0.1/24 dev eth0\n" + (
    "link set eth0 up\nlink set eth1 up\n"  # slurmrestd wants an interface besides lo
)
SITE = """
cluster: { name: t, domain: t.example }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 } }
groups: { all: { nodes: "n[1-6]", profiles: [compute] } }
nodes: { "n[1-6]": { addresses: { provision: "10.77.1.{number}" } } }
"""
PROFILES = """
profiles:
  compute:
    power.state: "on"
    scheduler.state: in_service
    image.wanted: registry.example:5000/compute:%s
"""


@pytest.fixture(scope="module")
def batch() -> Iterator[Slurm]:
    with private_network(NETWORK), slurm() as found:
        yield found


@pytest.fixture
def fresh(batch: Slurm) -> Iterator[Slurm]:
    """No jobs, all nodes idle."""
    yield batch
    batch.run("scancel", "-u", "root")
    Commands(str(batch.conf), batch.prefix).carry(batch.names, ("fast", "big"))
    for name in batch.names:
        shown = batch.shown(name)
        if "DRAIN" in shown or "DOWN" in shown:
            batch.run("scontrol", "update", f"nodename={name}", "state=resume")


def test_a_job_for_a_release_begins_where_it_is_carried(fresh: Slurm) -> None:
    assert (
        carry_out(Commands(str(fresh.conf), fresh.prefix), ("carry", "2026.11-b_1"), ["n3"]) == {}
    )
    job = fresh.run("sbatch", "--parsable", "-o", "/dev/null", "-D", "/", "-C",
                    "kedge_2026.11-b_1", "--wrap=sleep 1")  # fmt: skip
    wait(lambda: fresh.job(job) == "COMPLETED", f"job {job} for the release")
    assert "NodeList=n3" in fresh.run("scontrol", "-o", "show", "job", job)


# --- with a master that plans -------------------------------------------------------------------


@asynccontextmanager
async def master(
    folder: Path, batch: Slurm, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Master]:
    monkeypatch.setenv("KEDGE_SECRET_SLURM_TOKEN", batch.token())
    section: Any = {"driver": "slurm", "url": batch.url, "conf": str(batch.conf), "every_s": 1}
    section["command_prefix"] = list(batch.prefix)
    settings = Settings(
        folder, folder / "api.sock", sync_address="127.0.0.1", sync_port=0,
        sections={"modules": {"scheduler": section}},
    )  # fmt: skip
    machines = simulated([power, boot, image, health], pace=0.01)
    async with running(settings, [*machines, scheduler, release], Host()) as started:
        started.operations.apply(files("1"), "test")
        for name, version in (("A", "1"), ("B", "2")):
            await started.operations.releases.create(name, files(version), "", {}, "test")
        started.operations.set_values("n[1-6]", {"release.wanted": "A"}, "test")
        await until(lambda: service(started) == {"converged"}, "all to be in service", 30)
        yield started


def files(image: str) -> dict[str, str]:
    return {"cluster.yaml": SITE, "profiles.yaml": PROFILES % image}


def service(started: Master, *names: str) -> set[str]:
    rows = started.operations.status(",".join(names))
    return {row["phase"] for row in rows}


def row(started: Master, name: str) -> dict[str, Any]:
    return started.operations.status(name)[0]


async def until(true: Callable[[], object], what: str, most_s: float = 20.0) -> None:
    try:
        async with asyncio.timeout(most_s):
            while not true():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited {most_s} s for {what}") from None


def wait(true: Callable[[], object], what: str, most_s: float = 20.0) -> None:
    end = time.monotonic() + most_s
    while not true():
        assert time.monotonic() < end, f"waited {most_s} s for {what}"
        time.sleep(0.1)


async def test_a_new_image_moves_through_a_busy_cluster(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        assert "kedge_A" in fresh.shown("n1")
        job = await asyncio.to_thread(fresh.submit, "n1", 9)
        fresh.run("scontrol", "update", "nodename=n5", "state=drain", "reason=broken fan")
        await until(lambda: row(started, "n5")["phase"] == "blocked", "n5 to be seen")
        assert "drained by a person (root): broken fan" in row(started, "n5")["why"]

        started.operations.set_values("n[1-6]", {"release.wanted": "B"}, "test")
        others = ["n2", "n3", "n4", "n6"]
        await until(lambda: service(started, *others) == {"converged"}, "idle nodes to move", 40)
        assert all("kedge_B" in fresh.shown(name) for name in others)
        waiting = row(started, "n1")
        assert fresh.job(job) == "RUNNING"
        assert f"waiting for job {job}, until 20" in waiting["why"], waiting["why"]
        assert waiting["symbols"]["boot.stage"] == "running"
        assert "kedge_A" in fresh.shown("n1"), "it still runs A"

        await until(lambda: service(started, "n1") == {"converged"}, "n1 to move", 40)
        assert fresh.job(job) == "COMPLETED"
        assert "kedge_B" in fresh.shown("n1") and "DRAIN" not in fresh.shown("n1")
        # the person's drain stayed, though the node was brought up to date
        shown = fresh.shown("n5")
        assert "State=IDLE+DRAIN" in shown and "Reason=broken fan" in shown
        assert "kedge_B" in shown
        fresh.run("scontrol", "update", "nodename=n5", "state=resume")
        await until(lambda: service(started, "n5") == {"converged"}, "n5 to be in service")


async def test_a_scheduler_that_does_not_answer_means_busy(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kedge.modules.scheduler.reading.STALE_LEAST_S", 2.0)
    async with master(tmp_path, fresh, monkeypatch) as started:
        fresh.stop("slurmctld")
        try:
            unknown = "unknown"
            await until(
                lambda: row(started, "n2")["symbols"]["scheduler.state"] == unknown, "unknown", 30
            )
            started.operations.power("n2", "cycle", "test")
            await asyncio.sleep(2.0)
            assert row(started, "n2")["symbols"]["power.state"] == "on"
            assert "counts as busy" in row(started, "n2")["why"], row(started, "n2")["why"]
        finally:
            fresh.start_controller()
        await until(
            lambda: not row(started, "n2")["why"].count("busy")
            and service(started) == {"converged"}, "all to be well again", 60,
        )  # fmt: skip
        log = [e for e in started.operations.events(limit=1000) if e["what"] == "observed"]
        seen = [e["after"] for e in log if e["subject"] == "power.state" and "n2" in e["nodes"]]
        assert "off" in seen, "the cycle was made after all"


async def test_a_failed_check_drains_and_a_passed_one_brings_back(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        failed: Any = [{"check": "memory", "why": "3 uncorrected errors", "back": "automatic"}]
        say(started, "n3", "fail", failed)
        await until(lambda: "DRAIN" in fresh.shown("n3"), "n3 to be drained")
        assert "Reason=kedge: health: memory: 3 uncorrected errors" in fresh.shown("n3")
        await until(lambda: row(started, "n3")["phase"] == "blocked", "n3 to be blocked")
        await asyncio.sleep(1.5)
        assert row(started, "n3")["symbols"]["power.state"] == "on", "no reboot as a cure"
        say(started, "n3", "pass", [])
        await until(lambda: service(started, "n3") == {"converged"}, "n3 to be back")
        assert "DRAIN" not in fresh.shown("n3")

        failed[0]["back"] = "by_hand"
        say(started, "n3", "fail", failed)
        await until(lambda: "DRAIN" in fresh.shown("n3"), "n3 to be drained again")
        await until(lambda: row(started, "n3")["phase"] == "blocked", "n3 to be blocked")
        say(started, "n3", "pass", [])
        await asyncio.sleep(2.5)
        assert "kedge: by hand: health: memory" in fresh.shown("n3"), "that is for a person"
        await started.operations.act("scheduler", "give-back", {"nodes": "n3"}, "test")
        await until(lambda: service(started, "n3") == {"converged"}, "n3 to be back")


def say(started: Master, node: str, verdict: str, failed: Any) -> None:
    """What the node's agent would report."""
    standing = "failed" if verdict == "fail" else "clear"
    values = {"health.verdict": verdict, "health.standing": standing, "health.failed": failed}
    started.io.observe(node, values, by="agent")


async def test_scontrol_reboot_cycles_the_node_and_it_returns(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        fresh.run("scontrol", "reboot", "ASAP", "nextstate=RESUME", "reason=new firmware", "n6")
        asked = fresh.folder / "rebooted"
        await until(asked.exists, "slurmctld to call the program")
        assert asked.read_text().split()[0] == "n6"
        started.operations.power("n6", "cycle", "slurm")
        await until(lambda: "off" in powers(started, "n6"), "n6 to be off")
        fresh.stop("n6")
        await asyncio.sleep(1.0)
        fresh.start_node("n6", "-b")
        try:
            await until(lambda: service(started, "n6") == {"converged"}, "n6 to be back", 40)
        except AssertionError:
            print(fresh.shown("n6"), row(started, "n6"))
            raise


def powers(started: Master, node: str) -> list[str]:
    return [
        e["after"]
        for e in started.operations.events(limit=1000)
        if e["subject"] == "power.state" and node in e["nodes"]
    ]
