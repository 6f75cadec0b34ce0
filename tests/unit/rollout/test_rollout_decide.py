"""What a rollout does in the situations that people ask about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kedge.lib.errors import KedgeError
from kedge.rollout.decide import decide
from kedge.rollout.forecast import forecast
from kedge.rollout.model import (
    Assign,
    Gate,
    Progress,
    Requeue,
    Rollout,
    RunGate,
    Stage,
    Verdict,
    View,
    shifted,
)
from kedge.rollout.verbs import abort, approve, pause, resume, roll_back

NOW = 1000.0
NODES = tuple(f"n{number}" for number in range(1, 9))
GATE = Gate("hpl", "command", ("true",), 60.0)
STAGES = (Stage("canary", NODES, 2, (GATE,)), Stage("rest", NODES, 8))


def rollout(**more: object) -> Rollout:
    made = Rollout("weekly", "B", dict.fromkeys(NODES, "A"), STAGES, 2, order="shortest")
    return replace(made, **more)  # type: ignore[arg-type]


def fleet(**more: View) -> dict[str, View]:
    every = {node: View("A", True, True, domains={"rack": node[1:]}) for node in NODES}
    return {**every, **more}


BEGIN = Progress(since=NOW, stage_since=NOW)
DONE = View("B", True, True)
AWAY = View("B", False, False)


def test_idle_nodes_come_first_then_those_whose_jobs_end_soonest() -> None:
    jobs = {n: View("A", True, True, busy_until=NOW + 100 * int(n[1:])) for n in NODES}
    jobs["n7"] = View("A", True, True)
    (assign,) = decide(rollout(), BEGIN, jobs, NOW).actions
    assert assign == Assign(("n7", "n1"), "B")
    (assign,) = decide(rollout(order="idle"), BEGIN, jobs, NOW).actions
    assert assign == Assign(("n7", "n1"), "B")


def test_one_failure_domain_at_a_time() -> None:
    racks = {n: View("A", True, True, domains={"rack": str(int(n[1:]) // 5)}) for n in NODES}
    racks["n1"] = View("A", True, True, busy_until=NOW + 500, domains={"rack": "0"})
    stages = (Stage("rest", NODES, 8),)
    whole = rollout(stages=stages, most_out=8, one_at_a_time="rack")
    (assign,) = decide(whole, BEGIN, racks, NOW).actions
    assert isinstance(assign, Assign) and assign.nodes == ("n5", "n6", "n7", "n8")
    racks.update({n: replace(AWAY, domains={"rack": "1"}) for n in assign.nodes})
    assert decide(whole, BEGIN, racks, NOW).waits[0].startswith("for n[5-8] to come back")


def test_a_node_that_is_out_anyway_needs_no_room() -> None:
    down = View("A", False, False)
    (assign,) = decide(rollout(most_out=1), BEGIN, fleet(n3=down), NOW).actions
    assert assign == Assign(("n3",), "B")


def test_a_canary_stage_without_a_canary_waits() -> None:
    held = {n: View("A", True, True, aside="held: ticket 7") for n in NODES}
    decision = decide(rollout(), BEGIN, held, NOW)
    assert not decision.actions
    assert decision.waits == ("for a node of stage canary: n[1-8] (held: ticket 7)",)


def test_somebody_elses_choice_is_respected() -> None:
    decision = decide(rollout(), BEGIN, fleet(n1=View("C", True, True)), NOW)
    (assign,) = decision.actions
    assert assign == Assign(("n2", "n3"), "B")


def test_a_gate_that_is_silent_for_ever_has_failed() -> None:
    views = fleet(n1=DONE, n2=DONE)
    decision = decide(rollout(), BEGIN, views, NOW)
    (gate,) = decision.actions
    assert isinstance(gate, RunGate) and gate.nodes == ("n1", "n2") and "n3" in gate.old
    later = decide(rollout(), decision.progress, views, NOW + 121)
    assert later.progress.state == "paused" and "did not end within 60 s" in later.progress.why
    back = decide(rollout(on_failure="rollback"), decision.progress, views, NOW + 121)
    assert back.progress.state == "rolling_back"


@pytest.mark.parametrize("by_s", [-7200.0, 7200.0])
def test_a_clock_that_was_set_neither_fails_a_gate_nor_makes_a_stage_late(by_s: float) -> None:
    views = fleet(n1=DONE, n2=DONE)
    gate = decide(rollout(), BEGIN, views, NOW).progress
    set_ = NOW + 30 + by_s
    assert decide(rollout(), shifted(gate, by_s), views, set_).progress.state == "running"
    assert decide(rollout(), shifted(gate, by_s), views, set_ + 91).progress.state == "paused"
    stage = Stage("rest", NODES, 8, deadline_s=600, late="ask")
    late = rollout(stages=(stage,))
    away = fleet(n1=AWAY, n2=AWAY)
    assert decide(late, shifted(BEGIN, by_s), away, set_).progress.state == "running"
    paused = decide(late, shifted(BEGIN, by_s), away, set_ + 571).progress
    assert paused.state == "paused" and "not done within 10 min" in paused.why


def test_failed_nodes_pause_it_and_a_person_may_accept_them() -> None:
    views = fleet(n1=replace(AWAY, failed="it does not boot"), n2=DONE)
    stopped = decide(rollout(), BEGIN, views, NOW).progress
    assert stopped.state == "paused"
    assert stopped.why == "failed on release B: n1 (it does not boot)"
    assert decide(rollout(), stopped, fleet(), NOW + 1e6).actions == ()
    again = decide(rollout(), resume(rollout(), stopped, views, NOW), views, NOW)
    assert again.progress.state == "paused"
    accepted = resume(rollout(), stopped, views, NOW, accept=True)
    (gate,) = decide(rollout(), accepted, views, NOW).actions
    assert isinstance(gate, RunGate) and gate.nodes == ("n2",)
    assert decide(rollout(most_failed=1), BEGIN, views, NOW).progress.state == "running"


@pytest.mark.parametrize("late", ["wait", "ask", "requeue"])
def test_a_stage_that_is_late(late: str) -> None:
    stage = Stage("rest", NODES, 8, deadline_s=600, late=late)  # type: ignore[arg-type]
    flying = View("B", False, False, busy_until=NOW + 9999)
    views = {**dict.fromkeys(NODES, DONE), "n8": flying}
    decision = decide(rollout(stages=(stage,)), BEGIN, views, NOW + 601)
    assert decision.progress.late
    assert decision.actions == ((Requeue(("n8",)),) if late == "requeue" else ())
    assert (decision.progress.state == "paused") == (late == "ask")
    if late == "ask":
        assert "not done within 10 min: it waits for jobs on n8" in decision.progress.why
        assert not resume(rollout(), decision.progress, views, NOW).late


def test_going_back_frees_what_serves_nobody_at_once_and_the_rest_as_there_is_room() -> None:
    views = fleet(n1=DONE, n2=DONE, n3=DONE, n4=replace(AWAY, failed="x"), n5=AWAY)
    back = roll_back(rollout(), BEGIN, "by hand", NOW)
    (assign,) = decide(rollout(most_out=3), back, views, NOW).actions
    assert assign == Assign(("n5", "n4", "n1"), "A")
    over = decide(rollout(), back, fleet(), NOW)
    assert over.progress.state == "rolled_back"


@pytest.mark.parametrize(
    "unheard",
    [View("B", False, False, known=False), View("B", True, False)],
    ids=["the scheduler is silent", "Kedge has just started and no agent was heard"],
)
def test_going_back_moves_no_node_of_which_nobody_knows_whether_it_serves(unheard: View) -> None:
    back = roll_back(rollout(), BEGIN, "by hand", NOW)
    decision = decide(rollout(), back, dict.fromkeys(NODES, unheard), NOW)
    assert decision.actions == () and decision.progress.state == "rolling_back" and decision.waits
    heard = {**dict.fromkeys(NODES, DONE), "n3": replace(DONE, serving=False)}
    (assign,) = decide(rollout(), back, heard, NOW).actions
    assert assign == Assign(("n3", "n1"), "A")


def test_going_back_takes_along_what_was_about_to_go() -> None:
    """Two nodes have the release and are not drained yet: within what may be out anyway."""
    back = roll_back(rollout(), BEGIN, "by hand", NOW)
    about_to = View("B", True, False)
    (assign,) = decide(rollout(), back, fleet(n1=about_to, n2=about_to), NOW).actions
    assert assign == Assign(("n1", "n2"), "A")


def test_persons_are_told_when_what_they_say_makes_no_sense() -> None:
    for verb in (
        lambda p: approve(rollout(), p, NOW),
        lambda p: resume(rollout(), p, {}, NOW),
    ):
        with pytest.raises(KedgeError, match="rollout weekly is running"):
            verb(BEGIN)
    over = abort(rollout(), BEGIN, "no", NOW)
    for verb in (
        lambda p: abort(rollout(), p, "", NOW),
        lambda p: pause(rollout(), p, "", NOW),
    ):
        with pytest.raises(KedgeError, match="rollout weekly is aborted"):
            verb(over)


def test_what_is_left_is_named_at_the_end() -> None:
    views = {**dict.fromkeys(NODES, DONE), "n8": View("A", True, True, aside="held: x")}
    passed = replace(BEGIN, verdicts={"canary/hpl": Verdict("passed", NOW)})
    decision = decide(rollout(), passed, views, NOW)
    assert decision.progress.state == "done"
    assert decision.progress.why == "all stages are done; left as they were: n8"


def test_a_forecast_knows_the_jobs_and_the_room() -> None:
    hour = 3600.0
    jobs = {n: View("A", True, True, busy_until=NOW + hour * int(n[1:])) for n in NODES}
    told = forecast(rollout(), BEGIN, jobs, dict.fromkeys(NODES, 600.0), NOW)
    assert 8 * hour + 600 <= told.end_s <= 8.5 * hour
    assert told.capacity[0] >= 6 and len(told.capacity) == 9
    stuck = forecast(rollout(), BEGIN, fleet(**dict.fromkeys(NODES[:1], AWAY)), {}, NOW)
    assert stuck.end_s >= 0
    held = {n: View("A", True, True, aside="held") for n in NODES}
    stuck = forecast(rollout(), BEGIN, held, {}, NOW)
    assert stuck.end_s == -1 and "held" in stuck.stuck


def test_a_rollout_that_does_not_move_says_who_is_in_the_way() -> None:
    drained = View("A", False, True, aside="drained by person")
    found = decide(rollout(), BEGIN, fleet(n3=drained, n4=drained), NOW)
    assert found.actions == ()
    assert found.waits == ("for room: at most 2 out of service, now n[3-4]",)
    stages = (Stage("canary", NODES, 1), Stage("rest", NODES, 8))
    found = decide(rollout(stages=stages), BEGIN, fleet(n1=AWAY), NOW)
    assert found.waits == ("for n1 to come back (kedge status n1)",)
