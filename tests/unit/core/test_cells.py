"""Cells: a plain node's record folds and unfolds without losing anything, and cells are swept."""

from __future__ import annotations

import dataclasses

import pytest

from fake_modules import modules
from kedge.core.engine import Engine
from kedge.core.engine import nodes as nodes_module
from kedge.core.engine.cell import Cell, Errand
from kedge.core.engine.record import Episode, Record
from kedge.core.events import ConfiguredMany, NodeRemoved, ObservedMany, Tick
from kedge.core.graph import Graph

GOALS = {"power.state": "on", "image.running": "wanted"}

IN_COLUMNS = {"name", "since", "configured_at", "asking", "episode"}
KEEPS_APART = {"quarantine", "requests", "deaf", "surprises", "refilled_at", "lost", "span"}
EPISODE_IN_COLUMNS = {"since", "running"}
EPISODE_KEEPS_APART = {"failures", "assumed", "queued", "spoiled"}


def names(made: type) -> set[str]:
    return {field.name for field in dataclasses.fields(made)}


def test_every_field_of_a_record_folds_or_keeps_it_apart() -> None:
    cell = names(Cell) - {"errand"}
    assert names(Record) == cell | IN_COLUMNS | KEEPS_APART
    errand = names(Errand)
    assert names(Episode) == errand | EPISODE_IN_COLUMNS | EPISODE_KEEPS_APART


def booting(count: int) -> tuple[Engine, list[str]]:
    """Nodes with steps in flight and questions asked."""
    engine = Engine(Graph.of(modules()), seed=1)
    nodes = [f"n{i}" for i in range(count)]
    engine.advance([ConfiguredMany(nodes, GOALS, nodes, group="g")], 1.0)
    engine.advance([ObservedMany(nodes, {"power.state": "off"}, "bmc")], 2.0)
    return engine, nodes


def test_a_record_unfolds_as_it_was_folded() -> None:
    engine, nodes = booting(3)
    common = engine._common
    row = common.nodes.rows["n1"]
    assert not common.nodes.is_apart(row)
    first = common.nodes.open(row, 2.0)
    assert first.running and first.episode is not None
    kept = dataclasses.replace(first, episode=dataclasses.replace(first.episode))
    assert common.nodes.fold_row(row, 2.0) >= 0
    assert common.nodes.look(row, 2.0) == kept
    ids = [engine.condition(node).running[0].step_id for node in nodes]
    assert len(set(ids)) == 3


def test_rows_are_used_again_and_the_columns_grow() -> None:
    engine, nodes = booting(100)
    for node in nodes[:50]:
        engine.step(NodeRemoved(node), 3.0)
    assert engine.nodes() == sorted(nodes[50:])
    assert set(engine.differing()) == set(nodes[50:])
    more = [f"m{i}" for i in range(60)]
    engine.advance([ConfiguredMany(more, GOALS, more, group="g")], 4.0)
    assert len(engine._common.nodes.names) == 110
    assert engine.condition("m0").running == ()
    for at in range(5, 900, 5):  # timers of those that are gone wake nobody
        engine.advance([Tick()], float(at))
    assert len(engine.nodes()) == 110


def test_cells_that_nobody_is_in_are_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module, "CELLS_KEPT", 4)
    engine = Engine(Graph.of(modules()), seed=1)
    nodes = [f"n{i}" for i in range(10)]
    engine.advance([ConfiguredMany(nodes, GOALS, nodes, group="g")], 1.0)
    engine._common.nodes._sweep_at = 4
    for number in range(20):
        state = "off" if number % 2 else "on"
        engine.advance([ObservedMany(nodes[: number % 9 + 1], {"power.state": state}, "b")], 2.0)
        for node in nodes:
            assert engine.condition(node).goals["image.running"] == "wanted"
    assert engine._common.nodes.sweeps > 0
    assert len(engine._common.nodes.cells) < 30
