"""What a person says to a rollout: approve, pause, resume, abort, roll back. Each checks that it makes
sense now, and gives the progress that follows; `kedge.rollout.decide` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kedge.lib.errors import KedgeError
from kedge.rollout.model import FINAL, Progress, Rollout, View
from kedge.rollout.survey import look


def approve(rollout: Rollout, progress: Progress, now: float) -> Progress:
    """Let the present stage begin."""
    stage = rollout.stages[progress.stage]
    if progress.state != "running" or not stage.approval or progress.stage in progress.approved:
        raise _refusal(rollout, progress, "there is nothing to approve")
    return replace(progress, approved=progress.approved | {progress.stage}, stage_since=now)


def pause(rollout: Rollout, progress: Progress, why: str, now: float) -> Progress:
    """Give no more nodes the release. Nodes that have it already get there."""
    if progress.state not in ("running", "rolling_back"):
        raise _refusal(rollout, progress, "it does not run")
    return replace(progress, state="paused", resumes=progress.state, why=why, since=now)


def resume(
    rollout: Rollout,
    progress: Progress,
    views: Mapping[str, View],
    now: float,
    *,
    accept: bool = False,
) -> Progress:
    """Go on: failed gates run again, and a late stage gets its time once more. With ``accept``, what
    failed is accepted as it is: its gates count as passed, its failed nodes are left behind."""
    if progress.state != "paused":
        raise _refusal(rollout, progress, "it is not paused")
    verdicts = dict(progress.verdicts)
    for name, verdict in progress.verdicts.items():
        if verdict.state == "failed" and accept:
            verdicts[name] = replace(verdict, state="passed", why=f"accepted: {verdict.why}")
        elif verdict.state != "passed":
            del verdicts[name]
    accepted = progress.accepted
    if accept:
        accepted = accepted | look(rollout, progress, views).failed.keys()
        if progress.resumes == "rolling_back":
            back = (n for n, v in views.items() if v.failed and v.release == rollout.was.get(n))
            accepted = accepted.union(back)
    return replace(
        progress,
        state=progress.resumes,
        why="",
        since=now,
        stage_since=now,
        verdicts=verdicts,
        accepted=accepted,
        late=False,
    )


def abort(rollout: Rollout, progress: Progress, why: str, now: float) -> Progress:
    """End it for good, with every node as it is."""
    if progress.state in FINAL:
        raise _refusal(rollout, progress, "it is over")
    return replace(progress, state="aborted", why=why, since=now)


def roll_back(rollout: Rollout, progress: Progress, why: str, now: float) -> Progress:
    """Give every node back what it had; also of a rollout that is over."""
    if progress.state in ("rolling_back", "rolled_back"):
        raise _refusal(rollout, progress, "it goes back already")
    return replace(progress, state="rolling_back", why=why, since=now, accepted=frozenset())


def _refusal(rollout: Rollout, progress: Progress, what: str) -> KedgeError:
    return KedgeError(
        "rollout.state",
        f"{what}: rollout {rollout.name} is {progress.state.replace('_', ' ')}",
        why=progress.why,
        next_step=f"kedge rollout status {rollout.name}",
    )
