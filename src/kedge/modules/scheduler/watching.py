"""The scheduler's service: it reads the whole cluster at intervals and tells each node what changed.

Nodes that no scheduler knows are looked at in the same rounds, by their policies. Nodes of which nobody
knows what the scheduler would say are unknown: busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io, Node
from kedge.modules.scheduler.driver import CALL_S, OURS, Driver, Reservation, Seen
from kedge.modules.scheduler.keeping import Kept, Row, keep
from kedge.modules.scheduler.orders import Errors, Kind, Orders, carry_out
from kedge.modules.scheduler.policy import Closed, Moment, Rule, rule_of
from kedge.modules.scheduler.reading import LANE, Reading
from kedge.modules.scheduler.resuming import NOTICE, Resuming
from kedge.modules.scheduler.settings import driver_of, settings_of
from kedge.modules.scheduler.showing import FREE, Told, reserved, values_told

LEAST_S = 1.0
LOOK_S = 5.0
"""How often nodes are looked at when neither they nor the scheduler seem to have changed."""

BY = "scheduler"


class Watch:
    """The scheduler of one head."""

    def __init__(self, io: Io) -> None:
        self._io = io
        self._driver: Driver | None = None
        self._settings: dict[str, Value] | None = None
        self._every_s, self._share = 10.0, 10
        self._again = asyncio.Event()
        self.closed = Closed()
        self.orders = Orders(self._tell, self._again.set)
        self._reading = Reading(io)
        self._resuming = Resuming()
        self._spared = ""
        self._rules: dict[str, tuple[Configuration, Rule]] = {}
        self._told: dict[str, Told] = {}

    async def run(self) -> None:
        """Look at the cluster, for ever; raises `KedgeError` for settings that make no sense."""
        read_at = look_at = 0.0
        nodes = -1
        while True:
            self._take_settings()
            now = asyncio.get_running_loop().time()
            due = self._driver is not None and (now >= read_at or self._again.is_set())
            if due and self._driver is not None:
                self._again.clear()
                await self._reading.again(self._driver, self._every_s)
                read_at = asyncio.get_running_loop().time() + self._every_s
            if due or now >= look_at or len(self._io.nodes()) != nodes or self.closed.reasons:
                self._show()
                await self._keep()
                look_at, nodes = now + LOOK_S, len(self._io.nodes())
            await asyncio.sleep(LEAST_S)

    def _take_settings(self) -> None:
        """Go by the settings as they are now: a sub-master hears the master's only after it has joined."""
        written = self._io.settings("scheduler")
        if self._settings is not None and written == self._settings:
            return
        settings = settings_of(self._io)
        every_s, share = settings["every_s"], settings["health_share_percent"]
        assert isinstance(every_s, int) and isinstance(share, int)
        self._every_s, self._share = float(every_s), share
        self._driver = driver_of(settings, self._io)
        self._settings = dict(written)
        self._rules.clear()
        self._again.set()

    # --- what nodes are told -------------------------------------------------------------------

    def _nodes(self) -> dict[str, Node]:
        """The nodes that this process acts on: their owner alone tells the scheduler, and of them."""
        here = self._io.site.nodes
        return {name: node for name, node in self._io.nodes().items() if name in here}

    def _show(self) -> None:
        nodes = self._nodes()
        rules = {name: self._rule(node) for name, node in nodes.items()}
        people = {name: rule for name, rule in rules.items() if rule.kind == "people"}
        for name in [name for name in self.closed.reasons if name not in people]:
            self.closed.open(name)
        waits: Mapping[str, str] = {}
        if self.closed.reasons:
            local = time.localtime(self._io.now())
            moment = Moment(local.tm_wday, local.tm_hour * 60 + local.tm_min)
            sessions = {name: _sessions(nodes[name]) for name in self.closed.reasons}
            away = {name for name in people if _is_away(nodes[name])}
            waits = self.closed.grant(people, sessions, moment, away)
        cluster = self._reading.cluster
        reservations = reserved(cluster) if cluster is not None else {}
        for name, node in nodes.items():
            told = self._tell_of(name, rules[name], waits.get(name, ""), reservations)
            if self._told.get(name) == told and node.seen("scheduler.state") == told.state:
                continue
            self._told[name] = told
            self._observe(node, values_told(told))
        for name in self._told.keys() - nodes.keys():
            del self._told[name]
            self._rules.pop(name, None)

    def _tell_of(
        self, name: str, rule: Rule, wait: str, reservations: Mapping[str, list[Reservation]]
    ) -> Told:
        if rule.kind == "free":
            return FREE
        if rule.kind == "people":
            reason = self.closed.reasons.get(name, "")
            granted = name in self.closed.granted
            state = "drained" if granted else "draining" if reason else "in_service"
            return Told(Seen(state, reason), notice=wait, people=True)
        cluster = self._reading.cluster
        if cluster is None:
            return Told(None, notice=self._why_unknown())
        seen = cluster.nodes.get(name)
        if seen is None:
            return Told(None, notice="the scheduler does not know this node: it counts as busy")
        their = tuple(reservations.get(name, ()))
        if self._resuming.doubts(name, seen.state, self._reading.asked_at):
            return Told(replace(seen, state=""), their, notice=NOTICE)
        return Told(seen, their)

    def _rule(self, node: Node) -> Rule:
        """The node's rule, worked out once for each of its configurations."""
        known = self._rules.get(node.name)
        if known is not None and known[0] is node.configuration:
            return known[1]
        rule = rule_of(
            node.configured("scheduler.policy"),
            node.configuration.group,
            scheduler=self._driver is not None,
            wanted=node.configured("scheduler.state") is not None,
        )
        self._rules[node.name] = (node.configuration, rule)
        return rule

    def _why_unknown(self) -> str:
        if self._driver is None:
            return "the head's configuration names no scheduler (modules: {scheduler: ...})"
        return f"counts as busy: {self._reading.error or 'the scheduler was not asked yet'}"

    def _observe(self, node: Node, values: dict[str, Value]) -> None:
        changed = {
            name: value
            for name, value in values.items()
            if name not in node.discovered or node.seen(name) != value
        }
        if not changed:
            return
        passed = node.seen("scheduler.state") == "in_service"
        if passed and changed.get("scheduler.state") == "drained":
            # a node without jobs is drained at once: it was draining for a moment
            self._io.observe(node.name, {"scheduler.state": "draining"}, by=BY)
        self._io.observe(node.name, changed, by=BY)

    # --- what the scheduler is told ------------------------------------------------------------

    async def give(self, what: str, node: Node, about: str = "") -> None:
        """Drain, resume or label one node, together with all others of this moment."""
        if self._rule(node).kind == "people":
            if what in ("drain", "note"):
                self.closed.close(node.name, about)
            elif what == "resume":
                self.closed.open(node.name)
            self._show()
            return
        await self.orders.give((what, about), node.name)

    async def requeue(self, names: Sequence[str]) -> tuple[str, ...]:
        """Requeue the jobs of nodes that Kedge is draining; raises `KedgeError` for any other."""
        cluster = self._reading.cluster
        if self._driver is None or cluster is None:
            raise KedgeError("scheduler.none", self._why_unknown())
        jobs: dict[str, None] = {}
        for name in names:
            seen = cluster.nodes.get(name)
            if seen is None or seen.state != "draining" or seen.drained_by != "kedge":
                raise KedgeError(
                    "scheduler.not_draining", "is not being drained by Kedge", where=name,
                    next_step="Only jobs of nodes that Kedge drains are requeued",
                )  # fmt: skip
            jobs.update(dict.fromkeys(job.id for job in seen.jobs))
        if jobs:
            await self._io.blocking(LANE, self._driver.requeue, tuple(jobs), timeout_s=CALL_S)
            self._again.set()
        return tuple(jobs)

    async def _tell(self, kind: Kind, nodes: Sequence[str]) -> Errors:
        driver = self._driver
        if driver is None:
            raise KedgeError("scheduler.none", self._why_unknown())
        resumes, known = kind[0] == "resume", False
        if resumes:
            self._resuming.told(nodes)
            for name in nodes:
                self._told.pop(name, None)
                unknown: dict[str, Value] = {"scheduler.state": None, "scheduler.notice": NOTICE}
                self._io.observe(name, unknown, by=BY)
        try:
            errors = await self._io.blocking(LANE, carry_out, driver, kind, nodes, timeout_s=CALL_S)
            known = True
            return errors
        except TimeoutError:
            raise KedgeError(
                "scheduler.silent", f"the scheduler did not answer within {CALL_S:g} s"
            ) from None
        finally:
            if resumes:
                self._resuming.ended(nodes, asyncio.get_running_loop().time(), known=known)

    async def _keep(self) -> None:
        """Take nodes out of service whose checks fail."""
        nodes = self._nodes().values()
        if self._reading.error or not any(node.seen("health.verdict") == "fail" for node in nodes):
            self._tell_spared(Kept())
            return
        rows = [row for node in nodes if (row := _row(node)).state != "absent"]
        kept = keep(rows, self._share)
        self._tell_spared(kept)
        for reason, names in kept.drain.items():
            people = [n for n in names if self._rule_of(n) == "people"]
            for name in people:
                self.closed.close(name, reason)
            others = [n for n in names if n not in people]
            if others and self._reading.cluster is not None:
                self._again.set()
                try:
                    await self._tell(("drain", reason), others)
                except KedgeError as error:
                    self._io.event("", "scheduler", "health", str(error))
                    continue
            for name in names:
                self._io.event(name, "scheduler", "health", reason.removeprefix(OURS).strip())

    def _rule_of(self, name: str) -> str:
        node = self._io.node(name)
        return self._rule(node).kind if node is not None else "free"

    def _tell_spared(self, kept: Kept) -> None:
        words = "; ".join(
            f"{nodeset.fold(names)} of {group or 'no group'}"
            for group, names in kept.spared.items()
        )
        if words != self._spared:
            told = f"too many fail at once, these stay in service: {words}" if words else "eased"
            self._io.event("", "scheduler", "health", told)
        self._spared = words


def _sessions(node: Node) -> int | None:
    seen = node.seen("scheduler.sessions")
    return seen if isinstance(seen, int) else None


def _is_away(node: Node) -> bool:
    """Whether a node that should serve does not run, or nobody knows whether it does."""
    return node.configured("power.state") != "off" and node.seen("boot.stage") != "running"


def _row(node: Node) -> Row:
    def text(name: str) -> str:
        return str(node.seen(name) or "")

    return Row(
        node.name, node.configuration.group, text("scheduler.state"), text("scheduler.drained_by"),
        text("scheduler.reason"), text("health.verdict"), node.seen("health.failed"),
    )  # fmt: skip


_watches: WeakKeyDictionary[Io, Watch] = WeakKeyDictionary()


def watch_of(io: Io) -> Watch:
    """The one watch of this head."""
    found = _watches.get(io)
    if found is None:
        found = _watches[io] = Watch(io)
    return found
