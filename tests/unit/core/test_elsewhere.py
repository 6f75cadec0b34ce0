"""A node that somebody else acts on is only looked at; without a lease nothing destructive begins."""

from __future__ import annotations

from fake_modules import modules
from kedge.core.engine import Engine
from kedge.core.events import (
    Effect,
    EndStep,
    GroupLeased,
    NodeConfigured,
    Observed,
    RequestDone,
    Requested,
    StartDiscovery,
    StartStep,
    Tick,
)
from kedge.core.graph import Graph

ON = {"power.state": "on"}
OFF = {"power.state": "off"}


def engine() -> Engine:
    return Engine(Graph.of(modules()), seed=1)


def configured(goals: dict[str, str], elsewhere: str = "") -> NodeConfigured:
    return NodeConfigured("n1", goals, group="g", fingerprint=str(goals), elsewhere=elsewhere)


def acts(effects: list[Effect]) -> list[Effect]:
    return [e for e in effects if isinstance(e, StartStep | StartDiscovery)]


def later(found: Engine, now: float, until: float) -> list[Effect]:
    """All effects of time alone."""
    effects: list[Effect] = []
    while (due := found.next_timeout()) is not None and due <= until:
        now = max(now, due)
        effects += found.step(Tick(), now)
    return effects


def test_nothing_is_done_to_a_node_of_somebody_else() -> None:
    found = engine()
    effects = found.step(configured(ON, "sm1"), 0.0)
    effects += found.step(Observed("n1", {"power.state": "off"}), 1.0)
    effects += later(found, 1.0, 500.0)
    assert not acts(effects)
    shown = found.condition("n1")
    assert shown.phase == "waiting" and "sm1" in shown.why
    assert shown.discovered["power.state"] == "off"
    done = found.step(Requested("n1", OFF, "r1"), 501.0)
    assert [e.reason for e in done if isinstance(e, RequestDone)] == ["sm1 acts on the node"]


def test_it_is_acted_on_once_it_is_ours() -> None:
    found = engine()
    found.step(configured(ON, "sm1"), 0.0)
    found.step(Observed("n1", {"power.state": "off"}), 1.0)
    started = [e for e in found.step(configured(ON), 2.0) if isinstance(e, StartStep)]
    assert [e.mutation for e in started] == ["power.switch_on"]


def test_what_is_under_way_is_let_go_when_somebody_else_has_the_node() -> None:
    found = engine()
    found.step(configured(ON), 0.0)
    found.step(Observed("n1", {"power.state": "off"}), 1.0)
    ended = [e for e in found.step(configured(ON, "sm2"), 2.0) if isinstance(e, EndStep)]
    assert [(e.mutation, e.outcome) for e in ended] == [("power.switch_on", "dropped")]
    assert not acts(later(found, 2.0, 500.0))


def test_without_a_lease_only_what_is_harmless_begins() -> None:
    found = engine()
    found.step(GroupLeased("g", "the lease ran out"), 0.0)
    found.step(configured(OFF), 0.0)
    effects = found.step(Observed("n1", {"power.state": "on"}), 1.0)
    effects += later(found, 1.0, 300.0)
    assert not [e for e in effects if isinstance(e, StartStep)]
    shown = found.condition("n1")
    assert shown.phase == "waiting" and "the lease ran out" in shown.why
    effects = found.step(GroupLeased("g"), 301.0)
    assert [e.mutation for e in effects if isinstance(e, StartStep)] == ["power.switch_off"]


def test_what_was_asked_for_without_a_lease_begins_with_the_lease() -> None:
    found = engine()
    found.step(configured(ON), 0.0)
    found.step(Observed("n1", {"power.state": "on", "boot.stage": "none"}), 1.0)
    found.step(GroupLeased("g", "the lease ran out"), 2.0)
    found.step(Requested("n1", OFF, "r1", "alice"), 3.0)  # nothing else differs
    assert "the lease ran out" in found.condition("n1").why
    effects = found.step(GroupLeased("g"), 4.0)
    assert [e.mutation for e in effects if isinstance(e, StartStep)] == ["power.switch_off"]


def test_without_a_lease_a_node_is_still_switched_on() -> None:
    found = engine()
    found.step(GroupLeased("g", "the lease ran out"), 0.0)
    found.step(configured(ON), 0.0)
    effects = found.step(Observed("n1", {"power.state": "off"}), 1.0)
    assert [e.mutation for e in effects if isinstance(e, StartStep)] == ["power.switch_on"]
