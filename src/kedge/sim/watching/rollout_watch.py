"""The rules of rollouts, and what a rollout costs, looked at from outside while it runs.

Seen are the records that a head keeps, the releases that it configures nodes with, how gates ended, what a
person said, and what the scheduler and the machines really do. Which nodes are out is reckoned here anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kedge.agent.place import RUNNING
from kedge.core.condition import Condition
from kedge.core.variable import UNKNOWN
from kedge.lib.nodeset import fold
from kedge.rollout.model import FINAL, Progress, Rollout
from kedge.rollout.record import read_record
from kedge.sim.machines.machine import SimulatedMachine
from kedge.sim.masters.head import Program
from kedge.sim.services.registry import Registry
from kedge.sim.services.scheduler import SimulatedScheduler
from kedge.sim.world.time import World
from kedge.site.model import Site
from kedge.site.releasing import WANTED
from kedge.stores.port import Intent

SAMPLE_S = 10.0
"""How often it is looked who is out of service, for what it costs."""


@dataclass
class Rolling:
    """One rollout, as its records say, and what was seen of it. ``taken`` are nodes that it took out of
    service and that are not back; ``failing`` are gates whose command failed since a person spoke."""

    rollout: Rollout
    progress: Progress
    began_at: float
    ended_at: float | None = None
    taken: set[str] = field(default_factory=set[str])
    moved: set[str] = field(default_factory=set[str])
    failing: set[str] = field(default_factory=set[str])
    stops: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    helped: list[str] = field(default_factory=list[str])
    lost_s: float = 0.0
    most_out: int = 0
    most_taken: int = 0

    @property
    def active(self) -> bool:
        """Whether it may give nodes a release now."""
        return self.progress.state in ("running", "rolling_back")


class Whole(Protocol):
    """The cluster, as far as it is looked at here."""

    world: World
    site: Site
    registry: Registry
    machines: dict[str, SimulatedMachine]
    scheduler: SimulatedScheduler | None

    def condition(self, node: str) -> Condition | None: ...


class RolloutWatch:
    """All rollouts of a cluster, by name."""

    def __init__(self, cluster: Whole, violated: Callable[[str, str], None]) -> None:
        self._cluster = cluster
        self._violated = violated
        self._sampling = False
        self._wanted: dict[str, str] = {}
        self._digests: dict[str, set[str]] = {}
        self.every: dict[str, Rolling] = {}

    # ---- what is seen

    def kept(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """A head's store took a record."""
        if kind == "release":
            images: Mapping[str, Mapping[str, str]] = record["images"]
            self._digests[key] = {digest for of in images.values() for digest in of.values()}
        if kind != "rollout":
            return
        rollout, progress = read_record(record)
        now = self._cluster.world.now
        known = self.every.get(key)
        if known is None or known.rollout.at != rollout.at:
            known = self.every[key] = Rolling(rollout, progress, now)
            self._sample_soon()
        if progress.state == "paused" != known.progress.state:
            known.stops.append((now, progress.why))
        if progress.state in FINAL and known.ended_at is None:
            known.ended_at = now
        elif progress.state not in FINAL:
            known.ended_at = None
            self._sample_soon()
        known.progress = progress

    def gate_ended(self, name: str, gate: str, passed: bool) -> None:
        """The command of a gate ended."""
        (self.every[name].failing.discard if passed else self.every[name].failing.add)(gate)

    def said(self, name: str, verb: str) -> None:
        """A person speaks to a rollout."""
        if name in self.every:
            self.every[name].failing.clear()
            self.every[name].helped.append(verb)

    def explains(self, program: Program, before: Intent, after: Intent) -> bool:
        """Whether what was committed is only what rollouts that run may do: other releases for their own
        nodes. Their rules are looked at on the way."""
        if (before.files, before.holds) != (after.files, after.holds):
            return False
        changed = {
            node
            for node in before.overrides.keys() | after.overrides.keys()
            if before.overrides.get(node) != after.overrides.get(node)
        }
        for node in changed:
            old, new = _others(before, node), _others(after, node)
            if old != new or not any(node in one.rollout.was for one in self._in_charge()):
                return False
        for one in self._in_charge():
            mine = {n: _release(after, n) for n in sorted(changed & one.rollout.was.keys())}
            self._assigned(program, one, mine)
        return True

    def committed(self, intent: Intent) -> None:
        """From here on nodes are configured so."""
        self._wanted = {node: _release(intent, node) for node in intent.overrides}

    def _in_charge(self) -> list[Rolling]:
        return [one for one in self.every.values() if one.active]

    # ---- the rules

    def _assigned(self, program: Program, one: Rolling, releases: Mapping[str, str]) -> None:
        """A rollout gives nodes a release."""
        rollout = one.rollout
        forward = [node for node, release in releases.items() if release == rollout.release]
        if forward and (one.failing or one.progress.state != "running"):
            self._violated(
                "nothing continues after a failed gate", f"{fold(forward)} got {rollout.release}, "
                f"though gate {', '.join(sorted(one.failing))} had failed"
                f" ({one.progress.state})",
            )  # fmt: skip
        one.moved.update(releases)
        one.taken -= {node for node in one.taken if self._is_back(one, node)}
        told = {node: self._told(program, node) for node in rollout.was}
        going = {n for n in releases if self._serves(n) and told.get(n) is not False}
        before = {*one.taken, *(node for node, serves in told.items() if serves is False)}
        one.taken |= going
        one.most_taken = max(one.most_taken, len(one.taken))
        if going - before:
            self._check_room(one, before | going, going - before)

    def _check_room(self, one: Rolling, out: set[str], new: set[str]) -> None:
        rollout = one.rollout
        if len(out) > rollout.most_out:
            self._violated("never more out than allowed", f"{len(out)} nodes of rollout "
                           f"{rollout.name} are out, {rollout.most_out} may be: {fold(out)}")  # fmt: skip
        for attribute, most in rollout.most_out_of.items():
            for value in {self._domain(node, attribute) for node in new}:
                there = {node for node in out if self._domain(node, attribute) == value}
                if len(there) > most:
                    self._violated("never more out than allowed", f"{len(there)} nodes of "
                                   f"{attribute} {value} are out, {most} may be: {fold(there)}")  # fmt: skip

    def _domain(self, node: str, attribute: str) -> str:
        here = self._cluster.site.nodes[node]
        return str(here.group if attribute == "group" else here.attributes.get(attribute, ""))

    # ---- who is out

    def _told(self, program: Program, node: str) -> bool | None:
        """Whether a node takes jobs, as far as a head has heard; None: it has not."""
        master = program.master
        state = master.head.nodes.get(node) if master is not None else None
        if master is None or state is None:
            return None
        told = state.seen("scheduler.state") if self._cluster.scheduler is not None else "absent"
        if told != "absent":
            return None if told is None else told == "in_service"
        stage = master.head.engine.condition(node).discovered.get("boot.stage", UNKNOWN)
        return None if stage == UNKNOWN else stage == RUNNING

    def _serves(self, node: str) -> bool:
        """Whether it really takes jobs."""
        scheduler = self._cluster.scheduler
        if scheduler is not None:
            return scheduler.nodes[node].state == "in_service"
        return self._cluster.machines[node].stage == RUNNING

    def _is_back(self, one: Rolling, node: str) -> bool:
        """Whether a node serves, and runs what it is configured with; or a person has it as it is."""
        if not self._serves(node):
            return False
        condition = self._cluster.condition(node)
        held = condition is not None and condition.phase == "held"
        return held or node in one.progress.accepted or self.runs(node, self._wanted.get(node, ""))

    def runs(self, node: str, release: str) -> bool:
        """Whether a machine really runs an image of a release (empty: of the site)."""
        image = self._cluster.machines[node].image
        if release:
            return image in self._digests.get(release, ())
        return any("@" not in name for name in self._cluster.registry.imported.get(image, ()))

    def _sample_soon(self) -> None:
        if not self._sampling:
            self._sampling = True
            self._cluster.world.after(SAMPLE_S, self._sample)

    def _sample(self) -> None:
        """What is lost: the time of nodes that a rollout took and that have no job."""
        self._sampling = False
        for one in self.every.values():
            if one.ended_at is not None and not one.taken:
                continue
            self._sample_soon()
            one.taken -= {node for node in one.taken if self._is_back(one, node)}
            away = [n for n in one.taken if not self._serves(n) and not self._has_job(n)]
            one.lost_s += SAMPLE_S * len(away)
            if one.ended_at is None:
                out = sum(not self._serves(node) for node in one.rollout.was)
                one.most_out = max(one.most_out, out)

    def _has_job(self, node: str) -> bool:
        scheduler = self._cluster.scheduler
        return scheduler is not None and scheduler.busy(node) is not None

    def left(self, one: Rolling) -> list[str]:
        """The nodes that are not where the rollout was to bring them."""
        back = one.progress.state in ("rolling_back", "rolled_back")
        return [
            node
            for node, was in one.rollout.was.items()
            if self._wanted.get(node, "") != (was if back else one.rollout.release)
        ]


def _release(intent: Intent, node: str) -> str:
    entry = intent.overrides.get(node, {}).get(WANTED)
    return str(entry["value"] or "") if entry is not None else ""


def _others(intent: Intent, node: str) -> dict[str, Any]:
    """What a node is configured with beside its release."""
    entries: Mapping[str, Any] = intent.overrides.get(node, {})
    return {name: entry for name, entry in entries.items() if name != WANTED}


def ended(rolling: Iterable[Rolling]) -> bool:
    """Whether all are over."""
    return all(one.progress.state in FINAL for one in rolling)
