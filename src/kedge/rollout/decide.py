"""What a rollout does next: a pure function of how far it is and how its nodes look now.

It is level-triggered, like the engine: nothing counts but the present view, so a restart, a lost message
or a person who changed something meanwhile needs no case of its own. It only ever changes which release
nodes are configured with; draining, updating and bringing back is the engine's work.

Why it is safe. A node in service is given the release only within `Room`, and counts as out from then on.
Everything that makes somebody doubt the release (a failed gate, too many failed nodes, a deadline that
asks) leads to *paused* or, where the site says so, to *rolling_back*; from *paused* no action follows,
whatever the nodes do, until a person speaks (`kedge.rollout.verbs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from kedge.rollout.choosing import Room, choose
from kedge.rollout.model import (
    FINAL,
    Action,
    Assign,
    Decision,
    Gate,
    Progress,
    Requeue,
    Rollout,
    RunGate,
    Stage,
    Verdict,
    View,
    key,
)
from kedge.rollout.survey import Survey, look
from kedge.rollout.wording import duration, some, some_reasons

MOST_OLD = 200
"""So many nodes of the old release are offered to a gate for comparison."""

GRACE_S = 60.0
"""So long after its deadline a gate may still be on its way to being ended."""


def decide(rollout: Rollout, progress: Progress, views: Mapping[str, View], now: float) -> Decision:
    """The next actions at ``now`` (seconds since the epoch)."""
    if progress.state in FINAL or progress.state == "paused":
        return Decision(progress, waits=(progress.why,) if progress.state == "paused" else ())
    survey = look(rollout, progress, views)
    if progress.state == "rolling_back":
        return _back(rollout, progress, views, survey, now)
    return _forward(rollout, progress, survey, now)


def _forward(rollout: Rollout, progress: Progress, survey: Survey, now: float) -> Decision:
    while True:
        if len(survey.failed) > rollout.most_failed:
            why = f"failed on release {rollout.release}: {some_reasons(survey.failed)}"
            return Decision(_doubt(rollout, progress, why, now))
        stage = rollout.stages[progress.stage]
        if stage.approval and progress.stage not in progress.approved:
            wait = f"for approval of stage {stage.name}: kedge rollout approve {rollout.name}"
            return Decision(progress, waits=(wait,))
        chosen = _next_nodes(rollout, progress, survey)
        if chosen:
            assign = Assign(tuple(chosen), rollout.release)
            return Decision(progress, (assign,), (f"{some(chosen)} to begin",))
        waits = _waits_for_nodes(rollout, progress, survey, now)
        decision = (
            _late(stage, progress, survey, now, waits)
            if waits
            else _gates(rollout, progress, survey, now)
        )
        if decision is not None:
            return decision
        if progress.stage + 1 == len(rollout.stages):
            left = [node for node in rollout.was if node not in survey.on_release]
            why = f"all stages are done{f'; left as they were: {some(left)}' if left else ''}"
            return Decision(replace(progress, state="done", why=why, since=now))
        progress = replace(progress, stage=progress.stage + 1, stage_since=now, late=False)


def _doubt(rollout: Rollout, progress: Progress, why: str, now: float) -> Progress:
    """What follows when the release cannot be trusted any more."""
    if rollout.on_failure == "rollback":
        return replace(progress, state="rolling_back", why=why, since=now)
    return replace(progress, state="paused", resumes="running", why=why, since=now)


# --- nodes -----------------------------------------------------------------------------------------


def _next_nodes(rollout: Rollout, progress: Progress, survey: Survey) -> list[str]:
    """The nodes to be given the release now, of the present stage and of those before that a person
    gave back. Nodes that are out of service anyway need no room."""
    room = Room(rollout, survey)
    chosen: list[str] = []
    for stage in rollout.stages[: progress.stage + 1]:
        need = stage.goal - survey.count_on(stage.nodes) - _in(stage, chosen)
        if need <= 0:
            continue
        taken = set(chosen)
        free = [n for n in stage.nodes if n in survey.free and n not in taken][:need]
        chosen += free
        if need > len(free) and room.left > 0:
            ready = {n: survey.ready[n] for n in stage.nodes if n in survey.ready}
            for node in taken:
                ready.pop(node, None)
            chosen += choose(rollout, room, ready, need - len(free))
    return chosen


def _in(stage: Stage, chosen: list[str]) -> int:
    return len(set(stage.nodes).intersection(chosen)) if chosen else 0


def _waits_for_nodes(rollout: Rollout, progress: Progress, survey: Survey, now: float) -> list[str]:
    """What the stage waits for before its gates; nothing: all its nodes are done."""
    stage = rollout.stages[progress.stage]
    flying = {n: survey.flying[n] for n in stage.nodes if n in survey.flying}
    done = sum(1 for n in stage.nodes if n in survey.done)
    need = stage.goal - survey.count_on(stage.nodes)
    waits: list[str] = []
    if flying:
        waits.append(_flying(flying, now))
    if need > 0:
        ready = [n for n in stage.nodes if n in survey.ready]
        silent = [n for n in stage.nodes if n in survey.silent]
        if ready:
            waits.append(
                _room(rollout, survey)
                if survey.out >= rollout.most_out
                else f"for room in their failure domains: {some(ready)}"
            )
        if silent:
            waits.append(_silent(silent))
    if not waits and done == 0 and stage.goal > 0:
        kept = {n: survey.aside.get(n) or survey.lost.get(n, "") for n in stage.nodes}
        kept = {n: why for n, why in kept.items() if why}
        waits.append(f"for a node of stage {stage.name}: {some_reasons(kept) or 'none is left'}")
    return waits


def _room(rollout: Rollout, survey: Survey) -> str:
    return f"for room: at most {rollout.most_out} out of service, now {some(survey.outside)}"


def _silent(nodes: list[str]) -> str:
    return f"for the scheduler, or the nodes themselves, to tell of {some(nodes)}"


def _flying(flying: Mapping[str, View], now: float) -> str:
    busy = {node: view.busy_until for node, view in flying.items() if view.busy_until > 0}
    if not busy:
        nodes = some(list(flying))
        return f"for {nodes} to come back (kedge status {nodes.partition(' ')[0]})"
    soon = max(0.0, min(busy.values()) - now)
    others = len(flying) - len(busy)
    more = f", and for {others} to come back" if others else ""
    return f"for jobs on {some(list(busy))} to end, the first in {duration(soon)}{more}"


def _late(
    stage: Stage, progress: Progress, survey: Survey, now: float, waits: list[str]
) -> Decision:
    """The stage is not done: wait on, or do what its deadline says."""
    actions: tuple[Action, ...] = ()
    if stage.deadline_s and now >= progress.stage_since + stage.deadline_s:
        told = f"stage {stage.name} is not done within {duration(stage.deadline_s)}"
        if stage.late == "ask" and not progress.late:
            why = f"{told}: it waits {'; '.join(waits)}"
            paused = replace(progress, state="paused", resumes="running", why=why, since=now)
            return Decision(replace(paused, late=True))
        if stage.late == "requeue":
            busy = tuple(
                n for n in stage.nodes if n in survey.flying and survey.flying[n].busy_until
            )
            actions = (Requeue(busy),) if busy else ()
        progress = replace(progress, late=True)
        waits = [*waits, told]
    return Decision(progress, actions, tuple(waits))


# --- gates -----------------------------------------------------------------------------------------


def _gates(rollout: Rollout, progress: Progress, survey: Survey, now: float) -> Decision | None:
    """The first gate of the stage that has not passed; None when all have."""
    stage = rollout.stages[progress.stage]
    for gate in stage.gates:
        verdict = progress.verdicts.get(key(stage.name, gate.name))
        if verdict is not None and verdict.state == "passed":
            continue
        if verdict is not None and verdict.state == "failed":
            return Decision(_failed_gate(rollout, progress, stage, gate, verdict.why, now))
        if verdict is None:
            verdict = Verdict("running", now)
            verdicts = {**progress.verdicts, key(stage.name, gate.name): verdict}
            progress = replace(progress, verdicts=verdicts)
        elif now > verdict.since + gate.deadline_s + GRACE_S:
            why = f"it did not end within {duration(gate.deadline_s)}"
            return Decision(_failed_gate(rollout, progress, stage, gate, why, now))
        nodes = tuple(n for n in stage.nodes if n in survey.done)
        old = tuple(islice(survey.ready, MOST_OLD))
        since = duration(now - verdict.since)
        wait = f"for gate {gate.name} on {some(nodes)}, which runs since {since}"
        return Decision(progress, (RunGate(stage.name, gate, nodes, old),), (wait,))
    return None


def _failed_gate(
    rollout: Rollout, progress: Progress, stage: Stage, gate: Gate, why: str, now: float
) -> Progress:
    failed = Verdict("failed", now, why)
    verdicts = {**progress.verdicts, key(stage.name, gate.name): failed}
    told = f"gate {gate.name} of stage {stage.name} failed: {why}"
    return _doubt(rollout, replace(progress, verdicts=verdicts), told, now)


# --- going back ------------------------------------------------------------------------------------


def _back(
    rollout: Rollout, progress: Progress, views: Mapping[str, View], survey: Survey, now: float
) -> Decision:
    """Give the nodes back what they had: at once those that serve nobody now, the others as room is."""
    owed = [
        node
        for node in (*survey.flying, *survey.failed, *survey.lost, *survey.done)
        if rollout.was[node] != rollout.release
    ]
    silent = [node for node in owed if not views[node].known]
    fits = survey.fits(rollout)
    away = [node for node in owed if views[node].known and _is_away(node, views, survey, fits)]
    gone = {*silent, *away}
    home = {node: views[node] for node in owed if node not in gone}
    coming = {
        node: views[node]
        for node, was in rollout.was.items()
        if node in views and node not in rollout.broken and _comes_back(views[node], was)
    }
    unwell = {n: v.failed for n, v in coming.items() if v.failed and n not in progress.accepted}
    if len(unwell) > rollout.most_failed:
        why = f"failed on the way back: {some_reasons(unwell)}"
        paused = replace(progress, state="paused", resumes="rolling_back", why=why, since=now)
        return Decision(paused)
    survey.flying = {n: v for n, v in coming.items() if not v.failed}
    chosen = away + choose(rollout, Room(rollout, survey), home, len(home))
    if chosen:
        actions = tuple(
            Assign(tuple(n for n in chosen if rollout.was[n] == release), release)
            for release in sorted({rollout.was[n] for n in chosen})
        )
        return Decision(progress, actions, (f"{some(chosen)} to go back",))
    if home:
        return Decision(progress, waits=(_room(rollout, survey),))
    if silent:
        return Decision(progress, waits=(_silent(silent),))
    if survey.flying:
        return Decision(progress, waits=(_flying(survey.flying, now),))
    return Decision(replace(progress, state="rolled_back", since=now))


def _is_away(node: str, views: Mapping[str, View], survey: Survey, fits: bool) -> bool:
    """Whether it costs nobody anything to give a node its release back now. One that serves and is not as
    configured counts as out already, and is just about to go, or it was not heard of since a restart, and
    serves as ever. If all that count as out are no more than may be, both may go."""
    if not views[node].serving:
        return True
    return fits and node not in survey.done and node not in survey.lost


def _comes_back(view: View, was: str) -> bool:
    """Whether a node that has its old release again is not in service with it yet."""
    return view.release == was and not view.aside and not (view.serving and view.settled)
