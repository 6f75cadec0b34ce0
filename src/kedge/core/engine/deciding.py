"""What to do with a node now: everything follows from its view and its goals, nothing from history.

A plan is kept until surprised. Its steps start as soon as those before them are done, unless they
must wait: for a back-off, a budget, the breaker, or another step that touches their variables. A
node without anything left to do is converged, blocked or quarantined.
"""

from __future__ import annotations

from collections.abc import Sequence

from kedge.core.action import Action
from kedge.core.engine.asking import ask, ask_unknown, listen_in_flight, refresh
from kedge.core.engine.common import Common
from kedge.core.engine.failing import end_episode, forbid, penalties
from kedge.core.engine.phases import blocked, moving, purpose, settle
from kedge.core.engine.record import Episode, Record
from kedge.core.engine.requests import fulfil, give_up, goals_now
from kedge.core.engine.restraints import may_start, too_soon
from kedge.core.engine.service import is_down, leave
from kedge.core.engine.steps import end_step, leave_queues, start_step
from kedge.core.explain import unmet
from kedge.core.planner.order import Plan, conflict
from kedge.core.planner.task import Goals

ROUNDS = 8
"""How often one look at a node may plan anew; more would be a contradiction, and is reported."""


def look_again(common: Common) -> None:
    """Look at every node that was woken."""
    while (record := common.next_ready()) is not None:
        decide(common, record)


def decide(common: Common, record: Record) -> None:
    """Start what can start, and say what the node is doing."""
    if record.elsewhere:
        settle(common, record, "waiting", f"for {record.elsewhere}, which acts on the node", "")
        return
    if record.hold or record.quarantine:
        if record.episode is not None and not record.episode.running:
            end_episode(common, record)
        if record.hold and record.episode is None and not is_down(common, record):
            leave(common, record, "the node is held")
        ask_unknown(common, record)
        if record.hold:
            settle(common, record, "held", record.hold, "kedge node release {node}")
        elif record.quarantine:
            settle(
                common, record, "quarantined", record.quarantine.reason, record.quarantine.next_step
            )
        return
    for _ in range(ROUNDS):
        fulfil(common, record)
        goals = goals_now(common, record)
        episode = record.episode
        met = all(record.state[v] == value for v, value in goals)
        if met and (episode is None or not episode.running):
            _converge(common, record)
            return
        if episode is None:
            costs = common.costs.table(record.hardware_class)
            episode = record.episode = Episode(common.now, costs)
        if episode.plan is None:
            episode.plan = _plan(common, record, episode, goals)
            episode.done = 0
        if _dispatch(common, record, episode, episode.plan):
            if episode.running or episode.done != episode.plan.all_done:
                listen_in_flight(common, record, episode)
                moving(common, record, episode)
                return
            if episode.plan.given_up and not give_up(common, record):
                blocked(common, record, episode, episode.plan)
                if not record.quarantine and not is_down(common, record):
                    leave(common, record, "the node is blocked")
                return
        episode.plan = None
    settle(common, record, "waiting", "the plan does not fit what was seen: please report this", "")


def _converge(common: Common, record: Record) -> None:
    if record.episode is not None and not record.episode.starts:
        common.breaker.pardon(record.group, record.name)
    end_episode(common, record)
    leave(common, record, "converged")
    settle(common, record, "converged", "discovered is as configured", "")


def _plan(common: Common, record: Record, episode: Episode, goals: Goals) -> Plan:
    """Plan from the view, taking every step in flight back to where it began, to find it again.

    A step in flight that the new plan does not begin with runs on, unless the goals changed and it
    stands in the way: then it is dropped, and its variables are asked for.
    """
    while True:
        start = list(record.state)
        for running in episode.running:
            for variable, _ in running.action.writes:
                start[variable] = running.start[variable]
        plan = _repaired(common, episode, start, goals)
        if plan is None:
            plan = common.planner.plan(start, goals, penalties(episode), episode.costs)
        taken: set[int] = set()
        for running in episode.running:
            running.place = _place(plan, running.action, taken)
            taken.add(running.place)
        dropped = [
            r
            for r in episode.running
            if r.place < 0 and episode.new_goals and _in_the_way(r.action, plan, goals)
        ]
        for running in dropped:
            end_step(common, record, running, "dropped", "the goals changed")
            for variable, _ in running.action.own:
                refresh(common, record, variable)
        if not dropped:
            episode.new_goals = False
            _show(common, record, episode, plan, goals)
            return plan


def _repaired(common: Common, episode: Episode, start: Sequence[int], goals: Goals) -> Plan | None:
    """The plan that was spoiled, repaired, if nothing but the surprise has changed."""
    asked = (goals, penalties(episode))
    same, spoiled = asked == episode.planned_for, episode.spoiled
    episode.planned_for, episode.spoiled = asked, None
    if spoiled is None or not same:
        return None
    plan, done, changed = spoiled
    return common.planner.repair(plan, done, start, *asked, changed, episode.costs)


def _place(plan: Plan, action: Action, taken: set[int]) -> int:
    """The step of the plan that this step in flight already is: one that could start right now."""
    for place, step in enumerate(plan.steps):
        if step.number == action.number and place not in taken:
            earlier = (s for i, s in enumerate(plan.steps) if plan.before[place] >> i & 1)
            if not any(conflict(s, action) for s in earlier):
                return place
    return -1


def _in_the_way(action: Action, plan: Plan, goals: Goals) -> bool:
    wanted = dict(goals)
    return any(conflict(action, step) for step in plan.steps) or any(
        wanted.get(v, value) != value for v, value in action.writes
    )


def _show(common: Common, record: Record, episode: Episode, plan: Plan, goals: Goals) -> None:
    words = " -> ".join(step.name for step in plan.steps)
    if words and words != episode.shown_plan:
        cause = unmet(common.compiled, record.state, goals)
        common.note(record, "plan", str(plan.cost), episode.shown_plan, words, cause)
    episode.shown_plan = words


def _dispatch(common: Common, record: Record, episode: Episode, plan: Plan) -> bool:
    """Start every step that can; False where the plan no longer fits and must be made anew."""
    episode.waits = episode.waits_next = ""
    wanted: set[str] = set()
    flying, extras = 0, False
    for running in episode.running:
        if running.place >= 0:
            flying |= 1 << running.place
        else:
            extras = True
    for place in plan.ready(episode.done, flying):
        step = plan.steps[place]
        if extras:
            in_the_way = [r for r in episode.running if conflict(r.action, step)]
            if in_the_way:
                episode.waits = f"for {in_the_way[0].action.name} to end"
                continue
        if any(record.state[v] not in allowed for v, allowed in step.reads):
            return False
        if step.discovery >= 0:
            words = ask(common, record, step.discovery)
            episode.waits = episode.waits or words
            continue
        if episode.starts.get(step.number, 0) >= common.settings.repeats:
            forbid(common, episode, step)
            return False
        if step.destructive and too_soon(common, episode, plan):
            continue
        breaks = bool(plan.breaking >> place & 1)
        if may_start(common, record, episode, step, wanted, breaks=breaks):
            cause = purpose(common, record, plan, place)
            start_step(common, record, step, place, cause)
            if breaks and record.span is not None:
                record.span.begun = True
    leave_queues(common, episode, wanted)
    if record.span is not None and not record.span.begun and record.name not in wanted:
        leave(common, record, "the plan changed")
    return True
