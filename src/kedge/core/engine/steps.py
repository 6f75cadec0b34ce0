"""Beginning and ending a step: its number, its deadline, its looks at the world, its budgets.

Step numbers begin with the restart counter, so that no two steps ever share one: an order that an
agent still carries out from before a restart cannot be taken for a new one.
"""

from __future__ import annotations

from kedge.core.action import Action
from kedge.core.engine.common import Common
from kedge.core.engine.record import Episode, Record, Running
from kedge.core.events import EndStep, StartStep


def holder(record: Record, action: Action) -> str:
    """The name under which a node's step takes budgets."""
    return f"{record.name}/{action.name}"


def node_of(name: str) -> str:
    """The node of a `holder`; that of a span is the node itself."""
    return name.partition("/")[0]


def start_step(common: Common, record: Record, action: Action, place: int, cause: str) -> None:
    """Begin a mutation whose requirements hold and whose budgets were taken; ``cause`` is for the log."""
    mutation, episode = action.mutation, record.episode
    assert mutation is not None and episode is not None
    episode.starts[action.number] = episode.starts.get(action.number, 0) + 1
    serial = common.next_serial()
    step_id = f"{common.nodes.prefix}{serial}"
    running = Running(action, step_id, serial, common.now, record.state, place)
    episode.running.append(running)
    if mutation.timeout_s > 0:
        common.after(mutation.timeout_s, record, "step", action.number, serial=serial)
    if action.number in common.looked_at:
        common.after(common.settings.look_s, record, "look", action.number, serial=serial)
    common.effects.append(StartStep(record.name, action.name, step_id, running.deadline))
    common.note(record, "step", action.name, after="started", cause=cause)


def end_step(
    common: Common, record: Record, running: Running, outcome: str, reason: str = ""
) -> None:
    """A step is over, whatever its outcome; its budgets go to those who wait."""
    record.running.remove(running)
    name = running.action.name
    common.effects.append(EndStep(record.name, name, running.step_id, outcome, reason))
    common.note(record, "step", name, "started", outcome, reason)
    for waiter in common.budgets.release(holder(record, running.action)):
        common.wake(node_of(waiter))
    common.wake(record.name)


def withdraw(common: Common, record: Record) -> None:
    """Stop waiting for any budget."""
    episode = record.episode
    if episode is not None:
        leave_queues(common, episode, set())


def leave_queues(common: Common, episode: Episode, wanted: set[str]) -> None:
    """Stop waiting for all budgets but those ``wanted``: who stands first must be ready to go."""
    for name in sorted(episode.queued - wanted):
        queues = common.budgets if "/" in name else common.spans
        for waiter in queues.withdraw(name):
            common.wake(node_of(waiter))
    episode.queued &= wanted
