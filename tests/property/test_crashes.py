"""A head that dies after any effect, and starts again from its database, brings nodes to the same end."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from truths import Truth

from fake_modules import modules
from kedge.core.engine import Engine
from kedge.core.events import BudgetSet, Effect, NodeConfigured, Noted, Requested
from kedge.core.graph import Graph
from kedge.master.engine.memory import Memory
from kedge.stores.sqlite import SqliteStore

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))
NODES = ("held", "off", "plain", "sick")
SAVE_EVERY_S = 1.0
LASTS_S = 3000.0


class Died(Exception):
    """The head is gone, in the middle of what it did."""


class Head(Truth):
    """A world whose engine keeps its memory in a real database, and dies after some effect."""

    def __init__(self, database: Path, seed: int, dies_after: int) -> None:
        self.database, self.dies_after, self.effects = database, dies_after, 0
        self.store = SqliteStore(database)
        super().__init__(Graph.of(modules()), random.Random(seed), 0.0)
        self.memory = Memory(self.engine, self.store)

    def _do(self, effect: Effect) -> None:
        if not isinstance(effect, Noted):
            self.effects += 1
            if self.effects == self.dies_after:
                raise Died
        super()._do(effect)

    def crash(self) -> None:
        """All that is in memory is lost, what was written is read again."""
        self.store.close()
        self.store = SqliteStore(self.database)
        self.engine: Engine = self._new_engine()
        self.memory = Memory(self.engine, self.store)
        self.tell_limits()
        for node in self.state:
            self.flying[node] = {}
            self.configure(node)

    def tell_limits(self) -> None:
        self.tell(BudgetSet("boot.load", "cluster", 1))

    def configure(self, node: str) -> None:
        goals = self.compiled.named(self.goals[node])
        limits = (("boot.load", "cluster"),)
        self.tell(NodeConfigured(node, goals, self.held[node], limits=limits, fingerprint="1"))

    def begin(self) -> None:
        self.tell_limits()
        running = {"power.state": "on", "image.running": "wanted", "image.ready": "ready"}
        for node in NODES:
            goals = {"power.state": "off"} if node == "off" else running
            state = [self.compiled.initial[v] or 1 for v in range(len(self.compiled.values))]
            if node == "off":
                state[self.compiled.number["power.state"]] = 2  # on, and to be switched off
            self.state[node], self.goals[node] = state, self.compiled.assignment(goals)
            self.settle(state)
            self.held[node] = "a person works on it" if node == "held" else ""
            self.flying[node] = {}
        self.broken = {("sick", "boot.load")}
        for node in NODES:
            self.configure(node)

    def live(self) -> dict[str, tuple[str, str, dict[str, str]]]:
        """To the end; how each node ended: its phase, why, and what it truly is."""
        try:
            self.begin()
            self._run_and_save()
        except Died:
            self.crash()
            self._run_and_save()
        ends = {node: self.engine.condition(node) for node in NODES}
        return {
            node: (end.phase, end.why, self.compiled.symbols(self.state[node]))
            for node, end in ends.items()
        }

    def _run_and_save(self) -> None:
        """Until every node has ended its episode, and a little longer."""
        end = self.now + LASTS_S
        while self.now < end and not self.ended():
            self.run(SAVE_EVERY_S)
            self.memory.save()
        self.run(5.0)

    def ended(self) -> bool:
        return all(self.engine.condition(n).phase not in ("moving", "waiting") for n in NODES)


@pytest.mark.parametrize("seed", range(SCALE))
def test_a_crash_after_any_effect_leads_to_the_same_end(seed: int, tmp_path: Path) -> None:
    whole = Head(tmp_path / "whole.db", seed, 0)
    expected = whole.live()
    whole.store.close()
    assert [expected[node][0] for node in NODES] == [
        "held",
        "converged",
        "converged",
        "quarantined",
    ]
    assert "boot.load failed 3 times" in expected["sick"][1]
    assert whole.effects > 60
    for dies_after in range(1, whole.effects + 1):
        database = tmp_path / f"{dies_after}.db"
        head = Head(database, seed, dies_after)
        assert head.live() == expected, f"the head died after effect {dies_after}"
        head.store.close()
        database.unlink()


def test_what_is_asked_for_once_is_done_though_the_head_dies(tmp_path: Path) -> None:
    """A request outlives the head from the moment in which it was saved."""
    for dies_after in range(1, 40, 3):
        head = Head(tmp_path / f"{dies_after}.db", 5, 0)
        head.begin()
        head._run_and_save()
        before = head.steps
        head.tell(Requested("plain", {"power.state": "off"}, "r1", "a person"))
        head.memory.save()
        head.dies_after = head.effects + dies_after
        try:
            head._run_and_save()
        except Died:
            head.crash()
            head._run_and_save()
        assert head.steps >= before + 2, "the node was switched off, and on again"
        assert head.engine.condition("plain").phase == "converged"
        kept = head.engine.export()["nodes"].get("plain", {})
        # (what the head before did in its last moment may surprise the one after it)
        assert kept.keys() <= {"surprises"}
        head.store.close()
