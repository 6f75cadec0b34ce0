"""What people may ask of rollouts, in plain JSON-able values; part of `kedge.master.operations`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.engine.head import Head
from kedge.master.intent.releases import Releases, assignments
from kedge.master.intent.wishes import Wishes
from kedge.master.rollout.durations import Durations
from kedge.master.rollout.rollouts import Rollouts
from kedge.master.rollout.start import begin, refuse_overlap
from kedge.rollout import verbs
from kedge.rollout.forecast import forecast
from kedge.rollout.model import FINAL, Progress, Rollout, View
from kedge.rollout.survey import Survey, look
from kedge.site.model import Site
from kedge.site.releasing import WANTED
from kedge.site.rollouts import RolloutText, read_rollouts

Json = dict[str, Any]
FORECAST_TIMEOUT_S = 120.0


class RolloutOperations:
    """One method for each verb of ``kedge rollout``; all errors are `KedgeError`."""

    def __init__(self, rollouts: Rollouts, releases: Releases, wishes: Wishes, head: Head) -> None:
        self._rollouts = rollouts
        self._releases = releases
        self._wishes = wishes
        self._head = head
        self._durations = Durations(head)

    # looking

    def every(self) -> list[Json]:
        """One row a rollout, also those that are only described in the site and never began."""
        began = [self._row(*self._rollouts.get(name)) for name in sorted(self._rollouts.every)]
        described = read_rollouts(self._wishes.intent.files)
        fresh: list[Json] = [
            {
                "name": name, "release": "", "state": "described", "why": text.summary,
                "stage": "", "since": 0.0, "nodes": 0, "done": 0, "out": 0, "waits": [],
            }
            for name, text in described.items()
            if name not in self._rollouts.every
        ]  # fmt: skip
        return began + fresh

    def show(self, name: str) -> Json:
        """How far a rollout is, what it waits for, and what was seen."""
        rollout, progress = self._rollouts.get(name)
        survey = look(rollout, progress, self._views())
        return {
            **self._row(rollout, progress, survey),
            "by": rollout.by,
            "at": rollout.at,
            "most_out": rollout.most_out,
            "most_out_of": dict(rollout.most_out_of),
            "failed": _folded(survey.failed),
            "aside": _folded({**survey.aside, **survey.lost}),
            "stages": [_stage(rollout, progress, survey, i) for i in range(len(rollout.stages))],
        }

    def _views(self) -> Mapping[str, View]:
        """As the rounds of a running rollout keep them, else looked at now."""
        return self._rollouts.views.renew(() if self._rollouts.looking else None)

    def _row(self, rollout: Rollout, progress: Progress, survey: Survey | None = None) -> Json:
        survey = survey or look(rollout, progress, self._views())
        over = progress.state in FINAL
        return {
            "name": rollout.name,
            "release": rollout.release,
            "state": progress.state,
            "why": progress.why,
            "stage": "" if over else rollout.stages[progress.stage].name,
            "since": progress.since,
            "nodes": len(rollout.was),
            "done": len(survey.done),
            "out": survey.out,
            "waits": [] if over else list(self._rollouts.waits.get(rollout.name, ())),
        }

    # doing

    def _begun(self, name: str, release: str, by: str) -> Rollout:
        """The rollout that `start` would begin."""
        text = self._described(name)
        site = self._head.site
        if site is None:
            raise KedgeError("rollout.no_site", "there is no site", next_step="kedge apply FOLDER")
        self._releases.get(release)
        assigned = assignments(site, self._wishes.intent)
        broken = [node for node, view in self._views().items() if view.failed]
        now = self._rollouts.now()
        rollout = begin(text, site, release, assigned, broken, by, now)
        self._foreseen(rollout.was, release)  # does it fit the site?
        return rollout

    def _described(self, name: str) -> RolloutText:
        described = read_rollouts(self._wishes.intent.files)
        if name not in described:
            raise KedgeError(
                "rollout.unknown", f"the site describes no rollout {name!r}",
                next_step=f"Known: {', '.join(described) or 'none'}. Write rollouts/{name}.yaml "
                "in the site's folder, and apply it",
            )  # fmt: skip
        return described[name]

    def start(self, name: str, release: str, by: str) -> Json:
        """Begin to move nodes to a release."""
        rollout = self._begun(name, release, by)
        refuse_overlap(rollout, self._rollouts.every)
        self._rollouts.add(rollout)
        return self.show(name)

    def say(self, name: str, verb: str, why: str, accept: bool, by: str) -> Json:
        """``approve``, ``pause``, ``resume``, ``abort`` or ``rollback``."""
        now = self._rollouts.now()
        reason = f"{why or verb} ({by})"

        def change(rollout: Rollout, progress: Progress) -> Progress:
            match verb:
                case "approve":
                    return verbs.approve(rollout, progress, now)
                case "pause":
                    return verbs.pause(rollout, progress, reason, now)
                case "resume":
                    views = self._rollouts.views.renew()
                    return verbs.resume(rollout, progress, views, now, accept=accept)
                case "abort":
                    return verbs.abort(rollout, progress, reason, now)
                case _:
                    self._refuse_late_return(rollout, progress)
                    return verbs.roll_back(rollout, progress, reason, now)

        self._rollouts.change(name, verb, by, change)
        return self.show(name)

    def _refuse_late_return(self, rollout: Rollout, progress: Progress) -> None:
        """One that is over may go back only if no other works on its nodes, and its releases exist."""
        others = {n: r for n, r in self._rollouts.every.items() if n != rollout.name}
        if progress.state in FINAL:
            refuse_overlap(rollout, others)
        for release in {*rollout.was.values()} - {""}:
            self._releases.get(release)

    # foreseeing

    def _foreseen(self, nodes: Iterable[str], release: str) -> Site:
        """The site, were these nodes to have the release."""
        intent = self._wishes.with_values(nodes, {WANTED: release}, "a rollout")
        return self._wishes.preview(intent)[0]

    async def plan(self, name: str, release: str) -> Json:
        """How long it will take, and what is left in service at every hour."""
        views = dict(self._views())
        now = self._rollouts.now()
        running = self._rollouts.every.get(name)
        if running is not None and running[1].state not in FINAL:
            rollout, progress = running
        elif not release:
            raise KedgeError(
                "rollout.release", f"rollout {name} does not run: plan it for which release?",
                next_step=f"kedge rollout plan {name} --release NAME",
            )  # fmt: skip
        else:
            rollout, progress = self._begun(name, release, ""), Progress(since=now, stage_since=now)
        site = self._foreseen(rollout.was, rollout.release)
        update_s = self._durations.of(site, rollout.was)
        async with asyncio.timeout(FORECAST_TIMEOUT_S):
            told = await asyncio.to_thread(forecast, rollout, progress, views, update_s, now)
        longest = max(update_s.values(), default=0.0)
        return {
            "name": rollout.name,
            "release": rollout.release,
            "end_s": told.end_s,
            "stuck": told.stuck,
            "nodes": told.nodes,
            "most_out": rollout.most_out,
            "update_s": longest,
            "stages": [asdict(stage) for stage in told.stages],
            "capacity": list(told.capacity),
            "unmoved": _unmoved(self._head, site, rollout),
        }


def _unmoved(head: Head, site: Any, rollout: Rollout) -> str:
    """Nodes that would run what they run now: nothing of the release reaches them. Those that have it
    already have been reached."""
    alike = [
        node
        for node in rollout.was
        if head.site is not None
        and head.site.nodes[node].values.get(WANTED) != rollout.release
        and {**site.nodes[node].values, WANTED: ""} == {**head.site.nodes[node].values, WANTED: ""}
        and site.files.get(node) == head.site.files.get(node)
    ]
    return fold(alike)


def _folded(reasons: Mapping[str, str]) -> dict[str, str]:
    """Reason -> nodeset."""
    alike: dict[str, list[str]] = {}
    for node, why in reasons.items():
        alike.setdefault(why, []).append(node)
    return {why: fold(nodes) for why, nodes in alike.items()}


def _stage(rollout: Rollout, progress: Progress, survey: Survey, number: int) -> Json:
    stage = rollout.stages[number]
    state = "to come"
    if number < progress.stage or progress.state == "done":
        state = "done"
    elif number == progress.stage:
        waits = stage.approval and number not in progress.approved
        state = "waits for approval" if waits and progress.state == "running" else progress.state
    gates: list[Json] = []
    for gate in stage.gates:
        verdict = progress.verdicts.get(f"{stage.name}/{gate.name}")
        gates.append(
            {
                "name": gate.name,
                "state": verdict.state if verdict else "to come",
                "why": verdict.why if verdict else "",
                "since": verdict.since if verdict else 0.0,
            }
        )
    return {
        "name": stage.name,
        "state": state,
        "nodes": fold(stage.nodes),
        "goal": stage.goal,
        "on_release": survey.count_on(stage.nodes),
        "done": sum(1 for node in stage.nodes if node in survey.done),
        "approval": stage.approval,
        "gates": gates,
    }
