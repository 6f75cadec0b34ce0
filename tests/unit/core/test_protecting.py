"""Protections that bind only what begins at some symbol, and goals that others rule out."""

from __future__ import annotations

import pytest

from kedge.core.graph import Graph
from kedge.core.kinds import Enum, Text
from kedge.core.module import Module
from kedge.lib.errors import KedgeError


def modules() -> tuple[Module, Module]:
    machine = Module("m", summary="")
    power = machine.variable("power", Enum(("off", "on")), configured=True)
    stage = machine.variable(
        "stage", Enum(("none", "layer0", "running")), while_={power: "on"}, initial="none"
    )
    machine.listens(power, stage, timeout_s=1)
    machine.edge("off", {power: "off"}, where="head", requires={power: "on"})
    machine.edge("load", {stage: "layer0"}, where="head", requires={stage: "none"})
    machine.edge("kexec", {stage: "layer0"}, where="head", requires={stage: "running"})
    machine.edge("live", {stage: "running"}, where="head", requires={stage: "running"}, live=True)
    batch = Module("b", summary="")
    state = batch.variable(
        "state", Enum(("busy", "drained")), configured=True, wanted_while={"m.power": "on"}
    )
    batch.listens(state, timeout_s=1)
    batch.protects("m.stage", {state: "drained"}, leaving="running")
    return machine, batch


def test_only_what_may_begin_at_the_symbol_is_bound() -> None:
    graph = Graph.of(modules())
    number = graph.compiled.number["b.state"]
    bound = {a.name for a in graph.compiled.mutation_actions.values() if number in a.reads_of}
    assert bound == {"m.off", "m.kexec"}


def test_a_goal_that_another_rules_out_is_none() -> None:
    graph = Graph.of(modules())
    assert graph.goals({"m.power": "off", "b.state": "busy"}) == {"m.power": "off"}
    assert graph.goals({"m.power": "on", "b.state": "busy"}) == {"m.power": "on", "b.state": "busy"}
    assert graph.goals({"b.state": "busy"}) == {"b.state": "busy"}


def test_unknown_names_are_refused() -> None:
    machine, batch = modules()
    batch.protects("m.stage", {"b.state": "drained"}, leaving="walking")
    batch.variable("other", Text(), wanted_while={"m.powr": "on"})
    with pytest.raises(KedgeError) as caught:
        Graph.of([machine, batch])
    assert "walking" in str(caught.value) and "m.powr" in str(caught.value)
