"""What nodes say within a moment is taken in together, in order, and goes out as if told singly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from kedge.core.events import Effect, EndStep, Many, Noted, StartDiscovery, StartStep, each
from kedge.core.node import Observation
from kedge.master.engine.sending import Carrier, send
from kedge.master.engine.telling import Moment
from kedge.master.persistence.journal import Journal
from kedge.master.process.clock import Clock
from small_master import calm, converged, events, small_master, until


class Told:
    """A carrier and journal that keep what they are told, node by node."""

    def __init__(self) -> None:
        self.nodes: dict[str, list[Any]] = {}

    def start_step(self, effect: Effect) -> None:
        self.nodes.setdefault(effect.node, []).append(effect)

    end_step = start_discovery = start_step

    def add(self, nodes: tuple[str, ...], notes: tuple[Any, ...]) -> None:
        for node in nodes:
            self.nodes.setdefault(f"log of {node}", []).extend(notes)


def sent(effects: list[Effect | Many]) -> dict[str, list[Any]]:
    told = Told()
    send(effects, cast("Carrier", told), cast("Journal", told))
    return told.nodes


def test_effects_of_many_nodes_reach_each_as_its_own() -> None:
    effects = (
        Noted("a", "observed", "power", "off", "on", "bmc"),
        EndStep("a", "power.switch_on", "7-1", "done"),
        Noted("a", "step", "power.switch_on", "started", "done"),
        StartStep("a", "boot.load", "7-4", 99.0),
        StartDiscovery("a", "boot.listen", 50.0),
        StartStep("a", "image.fetch", "7-5", 88.0),
    )
    many = Many(["a", "b"], effects, "7-", ([1, 2], [4, 6], [5, 8]))
    before = Noted("b", "plan", "1", "", "x")
    told = sent([before, many])
    assert told == sent([before, *each(many)])
    assert [e.step_id for e in told["b"] if isinstance(e, StartStep)] == ["7-6", "7-8"]
    assert [note.what for note in told["log of b"]] == ["plan", "observed", "step"]


async def test_what_was_said_twice_within_a_moment_is_heard_in_order(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        await until(lambda: converged(master))
        head = master.head
        for state in ("off", "on", "off"):
            for name in ("n1", "n2"):
                head.observe(name, {"calm.switch": state}, by="test")
        seen = head.engine.condition("n2").discovered
        assert seen["calm.switch"] == "off", "whoever looks sees all that was told"
        changes = [
            (e["before"], e["after"])
            for e in events(master, "observed")
            if e["cause"] == "test" and e["nodes"] in ("n[1-2]", "n1")
        ]
        assert changes == [("on", "off"), ("off", "on"), ("on", "off")]
        await until(lambda: converged(master))


async def test_a_node_is_told_anew_only_when_a_person_changed_it(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        head = master.head
        node = head.nodes["n1"]
        first = node.fingerprint()
        head.refine("n1", "calm.switch", "on")
        assert node.fingerprint() == first
        master.operations.set_values("n1", {"calm.switch": "off"}, "test")
        assert node.fingerprint() != first
        assert node.wanted("calm.switch") == "off"
        assert head.engine.condition("n1").goals == {"calm.switch": "off"}
        assert head.engine.condition("n2").goals == {"calm.switch": "on"}


def test_equal_observations_of_a_moment_are_one_and_no_others() -> None:
    clock = Clock(now=lambda: 5.0, wall=iter((10.0, 11.0, 12.0)).__next__)
    moment = Moment(clock)
    first = moment.seen("v", "on", "bmc")
    assert first == Observation("on", 11.0, "bmc")
    assert moment.seen("v", "on", "bmc") is first
    assert moment.seen("v", True, "bmc").value is True
    assert moment.seen("v", "on", "agent") != first
    moment.end()
    assert moment.seen("v", "on", "agent").at == 12.0
