"""Commands and API over the real master: a site of simulated machines, from a folder to converged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kedge.api.server import api_serving
from kedge.cli.main import run
from kedge.client.client import Client
from kedge.client.endpoint import Endpoint
from kedge.core.kinds import Enum, Struct, Text
from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.master.operations.operations import Operations
from kedge.master.process.settings import Settings
from kedge.master.serve import serving

SITE = """
cluster: { name: test, domain: test.example }
networks: { provision: { cidr: 10.77.0.0/16 } }
groups: { all: { nodes: "n[1-20]" } }
nodes:
  "n[1-20]": { power.state: on, addresses: { provision: "10.77.1.{number}" } }
"""


class Machines:
    """Twenty machines whose power is a word in a dict; those in ``dead`` never obey."""

    def __init__(self) -> None:
        self.power: dict[str, str] = {}
        self.dead: set[str] = set()
        self.switched: list[tuple[str, str]] = []
        self.module = Module("power", summary="Simulated power")
        state = self.module.variable("state", Enum(("off", "on")), configured=True)
        self.module.variable("bmc", Struct({"address": Text()}), configured=True)

        @self.module.discovers(state, every_s=1)
        async def read(node: Any, io: Any) -> None:
            io.observe(node.name, {"power.state": self.power.get(node.name, "off")}, by="power")

        async def switch(node: Any, word: str) -> None:
            self.switched.append((node.name, word))
            if node.name in self.dead:
                raise KedgeError("power.dead", "the BMC is on fire", next_step="Put it out")
            await asyncio.sleep(0.1)
            self.power[node.name] = word

        @self.module.mutates(state, "off", "on", cost_s=1, timeout_s=10)
        async def switch_on(node: Any, io: Any) -> None:
            await switch(node, "on")

        @self.module.mutates(state, "on", "off", cost_s=1, timeout_s=10, destructive=True)
        async def switch_off(node: Any, io: Any) -> None:
            await switch(node, "off")

        @self.module.action("count")
        async def count(io: Any, args: Any) -> Any:
            io.publish("layer0", {"what": "counting", "share": 0.5})
            return len(io.nodes()) + int(args.get("plus", 0))

        self.declared = (read, switch_on, switch_off, count)


class Cluster:
    """A master, its API, and a client of it."""

    def __init__(self, folder: Path, machines: Machines, operations: Operations) -> None:
        self.folder, self.machines, self.operations = folder, machines, operations
        self.endpoint = Endpoint(folder / "state/api.token", socket=folder / "state/api.sock")

    async def kedge(self, *words: str) -> int:
        return await asyncio.to_thread(run, list(words))


@asynccontextmanager
async def running(folder: Path, machines: Machines) -> AsyncIterator[Cluster]:
    settings = Settings(
        folder / "state", folder / "state" / "api.sock", sync_address="127.0.0.1", sync_port=0
    )
    async with serving(settings, [machines.module]) as ops, api_serving(ops, settings):
        yield Cluster(folder, machines, ops)


@pytest_asyncio.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    state = tmp_path / "state"
    monkeypatch.setenv("KEDGE_API", str(state / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(state / "api.token"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.yaml").write_text(SITE)
    async with running(tmp_path, Machines()) as cluster:
        yield cluster


async def test_from_a_folder_to_converged(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(cluster.folder / "site")
    assert await cluster.kedge("diff", site, "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    changes, prospect = told["changes"], told["prospect"]
    assert prospect["moving_count"] == 20 and prospect["disrupted"] == 0
    assert {"kind": "node", "name": "n[1-20]"}.items() <= changes[-1].items()
    assert cluster.machines.power == {}
    assert await cluster.kedge("apply", site, "--wait", "--timeout", "60") == 0
    assert set(cluster.machines.power.values()) == {"on"} and len(cluster.machines.power) == 20
    capsys.readouterr()
    assert await cluster.kedge("status", "--fold", "--check") == 0
    out = capsys.readouterr().out
    assert "n[1-20]" in out and "20 converged" in out
    assert await cluster.kedge("diff", site, "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes"] == [] and told["prospect"]["moving"] == []
    assert await cluster.kedge("node", "show", "n7", "--origin", "-o", "json") == 0
    origin = json.loads(capsys.readouterr().out)["power.state"]["origin"]
    assert "site.yaml:6" in origin


async def test_power_goes_through_the_engine(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await cluster.kedge("apply", str(cluster.folder / "site"), "--wait") == 0
    assert await cluster.kedge("power", "off", "n[1-3]", "--yes", "--wait") == 0
    assert [cluster.machines.power[f"n{n}"] for n in (1, 2, 3, 4)] == ["off", "off", "off", "on"]
    assert await cluster.kedge("node", "unset", "n[1-3]", "power.state", "--wait") == 0
    assert cluster.machines.power["n1"] == "on"
    cluster.machines.switched.clear()
    assert await cluster.kedge("power", "cycle", "n4", "--yes", "--wait") == 0
    assert cluster.machines.switched == [("n4", "off"), ("n4", "on")]
    capsys.readouterr()
    assert await cluster.kedge("events", "n4", "-o", "json") == 0
    log = json.loads(capsys.readouterr().out)
    assert all(row["node"] == "n4" for row in log)
    assert [row["seq"] for row in log] == sorted(row["seq"] for row in log)


async def test_dry_runs_change_nothing(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await cluster.kedge("apply", str(cluster.folder / "site"), "--wait") == 0
    revision = cluster.operations.about()["revision"]
    capsys.readouterr()
    assert await cluster.kedge("power", "off", "n[1-3]", "--dry-run", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    (change,), (plan,) = told["changes"], told["prospect"]["moving"]
    assert plan["nodes"] == "n[1-3]"
    assert [step["mutation"] for step in plan["steps"]] == ["power.switch_off"]
    assert await cluster.kedge("power", "cycle", "n4", "--dry-run") == 0
    assert "power.switch_off" in capsys.readouterr().out
    assert (change["name"], change["before"], change["after"]) == ("n[1-3]", "on", "off")
    assert await cluster.kedge("node", "set", "n1", "power.state=off", "--dry-run") == 0
    assert cluster.operations.about()["revision"] == revision
    assert set(cluster.machines.power.values()) == {"on"}


async def test_trouble_is_told_with_what_to_do(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.machines.dead = {"n5"}
    site = str(cluster.folder / "site")
    assert await cluster.kedge("apply", site, "--wait", "--timeout", "4") in (3, 4)
    assert [n for n, p in cluster.machines.power.items() if p == "on"] and (
        cluster.machines.power.get("n5") is None
    )
    assert "n5" in capsys.readouterr().err
    assert await cluster.kedge("status", "n5") == 0
    assert "the BMC is on fire" in capsys.readouterr().out
    assert await cluster.kedge("node", "hold", "n5", "--reason", "burnt") == 0
    assert await cluster.kedge("status", "n5", "-o", "json") == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (row["phase"], row["hold"][:5]) == ("held", "burnt")
    cluster.machines.dead.clear()
    assert await cluster.kedge("node", "release", "n5") == 0
    assert await cluster.kedge("node", "retry", "n5") == 0
    async with Client(cluster.endpoint) as client, asyncio.timeout(30):
        while (await client.status("n5"))[0].phase != "converged":
            await asyncio.sleep(0.1)


async def test_bad_input_is_refused_and_changes_nothing(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = cluster.folder / "site"
    assert await cluster.kedge("apply", str(site), "--wait") == 0
    for text, words in (
        (SITE.replace("power.state: on", "power.state: maybe"), "off, on"),
        (SITE.replace("power.state: on", "power.stat: on"), "power.state"),
        (SITE.replace("n[1-20]", "n[1-2"), "nodeset"),
        (SITE + "nodes: {}\n", "nodes"),
    ):
        (site / "site.yaml").write_text(text)
        capsys.readouterr()
        assert await cluster.kedge("apply", str(site)) == 1
        told = capsys.readouterr().err
        assert "site.yaml:" in told and words in told
    assert cluster.operations.about()["revision"] == 1
    for command in (
        ["node", "set", "n1", "power.state=maybe"],
        ["node", "set", "n1", "power.nothing=1"],
        ["node", "set", "n[1-21]", "power.state=on"],
        ["power", "on", "n[1-"],
        ["node", "hold", "n1", "--reason", " "],
    ):
        assert await cluster.kedge(*command) == 1
    assert cluster.operations.about()["revision"] == 1


async def test_two_who_apply_at_once_do_not_overwrite_each_other(cluster: Cluster) -> None:
    async with Client(cluster.endpoint) as client:
        await client.apply({"site.yaml": SITE}, 0)
        with pytest.raises(KedgeError) as caught:
            await client.apply({"site.yaml": SITE.replace("test", "other")}, 0)
        assert caught.value.code == "store.conflict"
        assert (await client.about()).cluster == "test"


async def test_the_log_is_watched_and_resumed(cluster: Cluster) -> None:
    seen: list[int] = []
    async with Client(cluster.endpoint) as client:

        async def watch(after: int, until: int) -> None:
            async for message in client.watch("event", after=after):
                if message.seq:
                    seen.append(message.seq)
                if message.seq >= until:
                    return

        await client.apply({"site.yaml": SITE})
        await asyncio.sleep(0.2)
        last = (await client.events(limit=1))[0].seq
        async with asyncio.timeout(20):
            await watch(1, last)
            await client.hold("n1", "watched")
            await asyncio.sleep(0.2)
            await watch(last, (await client.events(limit=1))[0].seq)
    assert seen == list(range(2, 2 + len(seen)))


async def test_a_modules_verb(cluster: Cluster) -> None:
    async with Client(cluster.endpoint) as client:
        assert await client.act("power", "count", {"plus": 2}) == 2
        with pytest.raises(KedgeError, match="no action power explode"):
            await client.act("power", "explode", {})


async def test_graph_plan_and_variables(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await cluster.kedge("apply", str(cluster.folder / "site"), "--wait") == 0
    capsys.readouterr()
    for words in (["graph"], ["graph", "--style", "mermaid", "--node", "n1"]):
        assert await cluster.kedge(*words) == 0
        assert "power" in capsys.readouterr().out
    cluster.machines.dead = {"n1"}
    assert await cluster.kedge("node", "set", "n1", "power.state=off") == 0
    assert await cluster.kedge("plan", "n1") == 0
    assert "power.switch_off" in capsys.readouterr().out
    async with Client(cluster.endpoint) as client:
        names = {row.name: row.configured for row in await client.variables()}
    assert names == {"power.state": True, "power.bmc": True}


async def test_what_was_wanted_outlives_the_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines()
    async with running(tmp_path, machines) as cluster, Client(cluster.endpoint) as client:
        await client.apply({"site.yaml": SITE})
        await client.hold("n1", "kept")
        async with asyncio.timeout(30):
            while any(row.phase == "moving" for row in await client.status()):
                await asyncio.sleep(0.1)
    machines.switched.clear()
    again = Machines()
    again.power = machines.power
    async with running(tmp_path, again) as cluster, Client(cluster.endpoint) as client:
        async with asyncio.timeout(30):
            while not all(r.phase in ("converged", "held") for r in await client.status()):
                await asyncio.sleep(0.1)
        assert (await client.status("n1"))[0].hold.startswith("kept")
        assert again.switched == []
