"""What a node waits for in the queues of budgets, in words: which pool, who uses it, how many ahead."""

from __future__ import annotations

from dataclasses import dataclass

from kedge.core.engine.budgets import Budgets, Lack
from kedge.core.engine.common import Common
from kedge.core.engine.record import Record
from kedge.core.engine.steps import node_of

USERS_NAMED = 3
OTHERS_NEXT = "kedge node list --phase quarantined"
USERS_SEEN = 100
"""Among so many users one is sought that cannot go on by itself."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A place in a queue: ``step`` is empty for a span; ``users`` are the first few."""

    budget: str
    pool: str
    limit: int
    used: int
    ahead: int
    step: str
    users: tuple[str, ...]
    blocker: str = ""
    share: int | None = None
    others: str = ""


def places(common: Common, record: Record) -> tuple[Wait, ...]:
    """All that the node waits for, spans first."""
    episode = record.episode
    found: list[Wait] = []
    for name in sorted(episode.queued) if episode is not None else ():
        budgets = common.budgets if "/" in name else common.spans
        lack = budgets.waits_for(name)
        if lack is not None:
            found.append(_wait(common, budgets, name, lack))
    return tuple(found)


def _wait(common: Common, budgets: Budgets, name: str, lack: Lack) -> Wait:
    users = [node_of(user) for user in budgets.users(lack.pool, USERS_SEEN)]
    stuck = [user for user in users if _is_stuck(common, user)]
    return Wait(
        *lack.pool,
        lack.limit,
        lack.used,
        lack.ahead,
        name.partition("/")[2],
        tuple(dict.fromkeys([*stuck, *users]))[:USERS_NAMED],
        stuck[0] if stuck else "",
        lack.share,
        lack.others,
    )


def _is_stuck(common: Common, node: str) -> bool:
    record = common.look(node)
    return record is not None and record.phase in ("quarantined", "held", "blocked")


def in_words(common: Common, wait: Wait) -> tuple[str, str]:
    """``for the budget power.inrush of rack 1 (limit 2, 1 ahead; used by n0, n1)``, and what a person
    can do about it."""
    names = ", ".join(wait.users)
    if wait.used > len(wait.users):
        names += f" and {wait.used - len(wait.users)} more"
    share = "" if wait.share is None else f", of which {wait.share} may be used here now"
    words = (
        f"for the budget {wait.budget} of {wait.pool} "
        f"(limit {wait.limit}{share}, {wait.ahead} ahead; used by {names or 'nobody'})"
    )
    record = common.look(wait.blocker)
    if record is None:
        return (f"{words}; {wait.others}", OTHERS_NEXT) if wait.others else (words, "")
    why = record.quarantine.reason if record.quarantine is not None else record.why
    return f"{words}; {record.name} is {record.phase}: {why}", record.next_step.replace(
        "{node}", record.name
    )
