"""Carrying rollouts out: look at the nodes, decide (`kedge.rollout.decide`), save, act; again and again.

All that a rollout is lies in the store and in what nodes are configured with, so this may be killed at any
line: what was decided and not done is decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.engine.head import Head
from kedge.master.intent.releases import ROLLOUTS as KIND
from kedge.master.intent.wishes import Wishes
from kedge.master.persistence.journal import Journal, Watcher
from kedge.master.process.clock import STEP_S
from kedge.master.process.command import RunCommand, run
from kedge.master.rollout.gates import Gates
from kedge.master.rollout.views import Told, Views
from kedge.modules.port import Io
from kedge.rollout.decide import decide
from kedge.rollout.model import (
    FINAL,
    Action,
    Assign,
    Decision,
    Progress,
    Requeue,
    Rollout,
    RunGate,
    Verdict,
    shifted,
)
from kedge.rollout.record import as_record, read_record
from kedge.site.releasing import WANTED
from kedge.stores.port import Entry, Store

ROUND_S = 1.0
LOOK_ALL_S = 60.0
REQUEUE_EVERY_S = 60.0

LATER = ("store.conflict", "scheduler.not_draining", "scheduler.silent")
"""Somebody committed meanwhile, or the scheduler is not there yet: it is decided again."""

Change = Callable[[Rollout, Progress], Progress]


class Rollouts:
    """All rollouts, by name, also those that are over."""

    def __init__(
        self,
        store: Store,
        wishes: Wishes,
        head: Head,
        io: Io,
        journal: Journal,
        told: Told = lambda _: {},
        run_command: RunCommand = run,
    ) -> None:
        self._store = store
        self._wishes = wishes
        self._head = head
        self._io = io
        self._journal = journal
        self._changed = asyncio.Event()
        self._apart_s = head.clock.wall() - head.clock.now()
        self.views = Views(head, told)
        self.gates = Gates(io.state_dir / "rollouts", self._gate_ended, run_command)
        self.looking = False
        """Whether the views are kept up to date by the rounds."""
        self._requeued: dict[str, float] = {}
        self._refused: dict[str, str] = {}
        """Why jobs that are in the way of a rollout could not be requeued."""
        self.waits: dict[str, tuple[str, ...]] = {}
        self.every: dict[str, tuple[Rollout, Progress]] = {}
        for name, record in store.records(KIND).items():
            try:
                rollout, progress = read_record(record)
                self.every[name] = rollout, _forget_running(progress)
            except KedgeError as error:
                journal.write("", "rollout", name, cause=str(error))

    def now(self) -> float:
        """Seconds since the epoch, by which rollouts are decided. Where somebody has set the clock on the
        wall, what had begun moves with it, so that no deadline of a gate or a stage comes nearer or goes
        away; only over a restart of Kedge does the clock on the wall count."""
        wall = self._head.clock.wall()
        apart_s = wall - self._head.clock.now()
        by_s = apart_s - self._apart_s
        if abs(by_s) > STEP_S:
            self._apart_s = apart_s
            for name in self._active():
                rollout, progress = self.every[name]
                self.every[name] = rollout, shifted(progress, by_s)
            for name in self._active():
                self._save(*self.every[name], "clock", f"it was set by {by_s:+.0f} s")
        return wall

    def get(self, name: str) -> tuple[Rollout, Progress]:
        """One rollout; raises `KedgeError`."""
        if name not in self.every:
            raise KedgeError(
                "rollout.unknown", f"no rollout {name!r} was started",
                next_step=f"Started were: {', '.join(self.every) or 'none'}. To start one that the site "
                "describes: kedge rollout start NAME --release RELEASE",
            )  # fmt: skip
        return self.every[name]

    def add(self, rollout: Rollout) -> None:
        """Begin."""
        progress = Progress(since=rollout.at, stage_since=rollout.at)
        self._save(rollout, progress, f"release {rollout.release}", rollout.by)

    def change(self, name: str, verb: str, by: str, change: Change) -> Progress:
        """What a person said."""
        rollout, before = self.get(name)
        progress = change(rollout, before)
        if progress.state in FINAL or progress.state in ("paused", "rolling_back"):
            self.gates.end(name)
            progress = _forget_running(progress)
        self._save(rollout, progress, verb, by)
        return progress

    def _save(self, rollout: Rollout, progress: Progress, what: str, cause: str) -> None:
        self._store.put(KIND, rollout.name, as_record(rollout, progress))
        self.every[rollout.name] = rollout, progress
        self._journal.write("", "rollout", rollout.name, after=what, cause=cause)
        self._journal.publish("rollout", {"name": rollout.name})
        self._changed.set()

    def _gate_ended(self, name: str, gate: str, passed: bool, why: str) -> None:
        now = self.now()
        rollout, progress = self.every[name]
        verdict = progress.verdicts.get(gate)
        if verdict is None or verdict.state != "running":
            return
        ended = Verdict("passed" if passed else "failed", now, why)
        progress = replace(progress, verdicts={**progress.verdicts, gate: ended})
        try:
            self._save(rollout, progress, f"gate {gate}: {ended.state}", why)
        except KedgeError as error:  # it cannot be kept now, so the gate runs again
            self.waits[name] = (f"for the verdict of gate {gate} to be kept: {error.what}",)

    # the loop

    async def run(self) -> None:
        """Decide whenever something happened, for as long as the master lives."""
        news: set[str] = set()
        with self._journal.watch() as watcher:
            listening = asyncio.create_task(self._listen(watcher, news))
            try:
                await self._rounds(news)
            finally:
                listening.cancel()
                await self.gates.close()

    async def _listen(self, watcher: Watcher, news: set[str]) -> None:
        async for topic, message in watcher.messages():
            if topic == "lagged":
                news.update(self._head.nodes)
            elif isinstance(message, Entry):
                news.update(message.nodes)
            elif topic == "node":
                news.add(str(message["node"]))
            if news:
                self._changed.set()

    async def _rounds(self, news: set[str]) -> None:
        loop = asyncio.get_running_loop()
        looked = -LOOK_ALL_S
        while True:
            active = self._active()
            self.looking = bool(active)
            if active and loop.time() - looked >= LOOK_ALL_S:
                self.views.renew()
                looked = loop.time()
            elif active:
                self.views.renew(news)
            else:
                looked = -LOOK_ALL_S
            news.clear()
            for name in active:
                await self._round(name)
            self._changed.clear()
            await asyncio.sleep(ROUND_S)
            try:
                async with asyncio.timeout(10 * ROUND_S if active else LOOK_ALL_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _active(self) -> list[str]:
        return [name for name, (_, progress) in self.every.items() if progress.state not in FINAL]

    async def _round(self, name: str) -> None:
        now = self.now()
        rollout, before = self.every[name]
        decision = decide(rollout, before, self.views.renew(()), now)
        if decision.progress != before:
            self._note(rollout, before, decision)
        for action in decision.actions:
            await self._carry_out(rollout, action)
        if not any(isinstance(action, Requeue) for action in decision.actions):
            self._refused.pop(name, None)
        refused = self._refused.get(name)
        self.waits[name] = (*decision.waits, refused) if refused else decision.waits

    def _note(self, rollout: Rollout, before: Progress, decision: Decision) -> None:
        after = decision.progress
        what = after.state
        if after.state == before.state == "running":
            what = f"stage {rollout.stages[after.stage].name}"
        if after.state in FINAL or after.state in ("paused", "rolling_back"):
            self.gates.end(rollout.name)
        self._save(rollout, after, what, after.why)

    async def _carry_out(self, rollout: Rollout, action: Action) -> None:
        try:
            if isinstance(action, Assign):
                self.assign(action.nodes, action.release, f"rollout {rollout.name}")
            elif isinstance(action, RunGate):
                self.gates.ensure(rollout, action, self._wishes.intent.files)
            else:
                await self._requeue(rollout.name, action)
        except KedgeError as error:
            if error.code in LATER:
                return
            self._stop(rollout.name, str(error))

    def _stop(self, name: str, why: str) -> None:
        now = self.now()
        rollout, progress = self.every[name]
        if progress.state in ("running", "rolling_back"):
            paused = replace(progress, state="paused", resumes=progress.state, why=why, since=now)
            self._save(rollout, paused, "paused", why)

    def assign(self, nodes: Iterable[str], release: str, by: str) -> None:
        """Configure nodes with a release; where the site's files say so anyway, nothing is set."""
        names = [node for node in nodes if node in self._head.nodes]
        written = self._wishes.written(WANTED)
        values: dict[str, list[str]] = {}
        for node in names:
            own = str(written.get(node) or "") == release
            values.setdefault("" if own else release, []).append(node)
        for value, same in values.items():
            wanted: dict[str, Value] = {WANTED: value or None}
            self._wishes.set_values(same, wanted, by)
        self.views.renew(names)

    async def _requeue(self, name: str, action: Requeue) -> None:
        now = self._head.clock.now()
        if now < self._requeued.get(name, -REQUEUE_EVERY_S) + REQUEUE_EVERY_S:
            return
        self._requeued[name] = now
        module = self._head.graph.modules.get("scheduler")
        requeue = module.actions.get("requeue") if module is not None else None
        if requeue is None:
            raise KedgeError(
                "rollout.requeue", "no scheduler here can requeue jobs",
                next_step="Write at_deadline: wait or ask in the rollout's file",
            )  # fmt: skip
        args: dict[str, Any] = {"nodes": list(action.nodes)}
        try:
            await requeue(self._io, args)
        except KedgeError as error:
            self._note_refused(name, error)
            raise
        self._refused.pop(name, None)

    def _note_refused(self, name: str, error: KedgeError) -> None:
        """A job may forbid that it is requeued: that is waited for, and said once."""
        if error.code != "scheduler.silent":
            return
        why = f"its jobs could not be requeued: {error.why}"
        if self._refused.get(name) != why:
            self._refused[name] = why
            self._journal.write("", "rollout", name, after="requeue", cause=why)


def _forget_running(progress: Progress) -> Progress:
    """Without the gates that run: their commands are gone, so that they begin anew, with all their time."""
    kept = {name: of for name, of in progress.verdicts.items() if of.state != "running"}
    return replace(progress, verdicts=kept)
