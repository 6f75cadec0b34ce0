"""Login nodes and gateways, which no scheduler has: windows, sessions, one of a role at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from test_slurm import row, service, until

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
from kedge.modules.scheduler.policy import DAYS
from kedge.sim.devices import Machines

SITE = """
cluster: { name: t, domain: t.example }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 } }
groups:
  login: { nodes: "l[1-3]", profiles: [login] }
  gateway: { nodes: "g1", profiles: [gateway] }
nodes:
  "l[1-3]": { addresses: { provision: "10.77.1.{number}" } }
  "g1": { addresses: { provision: "10.77.2.1" } }
profiles:
  login:
    power.state: "on"
    scheduler.state: in_service
    scheduler.policy: { sessions: empty, at_once: 1, role: login, windows: ["%s"] }
    image.wanted: registry.example:5000/login:%s
  gateway:
    power.state: "on"
    scheduler.policy: { kind: free }
    image.wanted: registry.example:5000/login:%s
"""
LOGIN = ("l1", "l2", "l3")
ALWAYS = "00:00-23:59"


@asynccontextmanager
async def master(folder: Path, machines: Machines) -> AsyncIterator[Master]:
    settings = Settings(folder, folder / "api.sock", sync_address="127.0.0.1", sync_port=0)
    simulated = machines.simulated([power, boot, image, health])
    async with running(settings, [*simulated, scheduler, release], Host()) as started:
        yield started


def apply(started: Master, version: str, window: str = ALWAYS) -> None:
    text = SITE % (window, version, version)
    started.operations.apply({"cluster.yaml": text}, "test")


def sessions(started: Master, **counts: int) -> None:
    """What the nodes' agents would report."""
    for node, count in counts.items():
        started.io.observe(node, {"scheduler.sessions": count}, by="agent")


def away(started: Master) -> list[str]:
    stage = {name: row(started, name)["symbols"]["boot.stage"] for name in LOGIN}
    return [name for name in LOGIN if stage[name] != "running"]


def runs(started: Master, name: str) -> str:
    seen = started.operations.node(name)["discovered"].get("image.running", {})
    return str(seen.get("value"))


async def moved(started: Master, *names: str, most_s: float = 40.0) -> None:
    """Wait until these run version 2; never are two login nodes away at once."""
    async with asyncio.timeout(most_s):
        while not all(runs(started, name).endswith(":2") for name in names) or away(started):
            assert len(away(started)) <= 1, away(started)
            await asyncio.sleep(0.02)


async def test_one_of_a_role_at_a_time_when_its_sessions_have_ended(tmp_path: Path) -> None:
    async with master(tmp_path, Machines(pace=0.02)) as started:
        apply(started, "1")
        await until(lambda: service(started) == {"converged"}, "all to be in service", 30)
        sessions(started, l1=0, l2=2, l3=0)
        apply(started, "2")
        await moved(started, "l1", "l3", "g1")
        assert runs(started, "l2").endswith(":1")
        assert "waiting for 2 open sessions to end" in row(started, "l2")["why"]
        sessions(started, l2=0)
        await moved(started, "l2")
        await until(lambda: service(started) == {"converged"}, "all to be in service")


async def test_nothing_begins_outside_its_window(tmp_path: Path) -> None:
    async with master(tmp_path, Machines(pace=0.02)) as started:
        apply(started, "1")
        await until(lambda: service(started) == {"converged"}, "all to be in service", 30)
        sessions(started, l1=0, l2=0, l3=0)
        later = DAYS[(time.localtime().tm_wday + 3) % 7]
        apply(started, "2", f"{later} 02:00-06:00")
        await until(
            lambda: runs(started, "g1").endswith(":2"), "the gateway, which is free, to move"
        )
        await asyncio.sleep(2.0)
        assert not away(started) and runs(started, "l1").endswith(":1")
        assert f"waiting for a window: {later} 02:00-06:00" in row(started, "l1")["why"]
        apply(started, "2")  # the window is opened
        await moved(started, *LOGIN)


async def test_a_node_that_was_away_when_kedge_started_anew_still_counts(tmp_path: Path) -> None:
    machines = Machines(pace=0.02)
    async with master(tmp_path, machines) as started:
        apply(started, "1")
        await until(lambda: service(started) == {"converged"}, "all to be in service", 30)
        machines.pace = 0.5  # boots take long enough to stop in the middle of one
        sessions(started, l1=0, l2=0, l3=0)
        apply(started, "2")
        await until(lambda: away(started), "the first to go", 40)
        (first,) = away(started)
    async with master(tmp_path, machines) as started:
        sessions(started, l1=0, l2=0, l3=0)
        await until(lambda: row(started, first)["symbols"]["boot.stage"] == "none", "a look", 20)
        await asyncio.sleep(3.0)
        assert away(started) == [first], "the others wait for it"
        machines.pace = 0.02
        await moved(started, *LOGIN)


async def test_one_that_hangs_is_left_until_a_person_says_that_nobody_is_on_it(
    tmp_path: Path,
) -> None:
    machines = Machines(pace=0.02)
    async with master(tmp_path, machines) as started:
        apply(started, "1")
        await until(lambda: service(started) == {"converged"}, "all to be in service", 30)
        sessions(started, l2=0, l3=0)
        hangs = started.io.node("l1")
        assert hangs is not None
        machines.set(hangs, {"boot.stage": "stuck"})
        started.io.observe("l1", {"boot.stage": "stuck"}, by="agent")
        apply(started, "2")
        waits = "waiting to hear how many sessions are open"
        await until(lambda: waits in row(started, "l1")["why"], waits)
        await asyncio.sleep(2.0)
        assert away(started) == ["l1"], "the others wait for it"
        started.operations.set_values("l1", {"scheduler.policy": {"kind": "free"}}, "test")
        await until(lambda: all(runs(started, n).endswith(":2") for n in LOGIN), "all to move", 40)
