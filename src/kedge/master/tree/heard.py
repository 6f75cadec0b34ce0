"""What agents report to another parent than the owner of their node, and how the owner takes it in.

Reports are ordered by (boot epoch, version), which count for the whole boot, so the greater one wins
whoever relays it. A node whose agent is attached to another parent is not silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from kedge.master.agents.link import Link
from kedge.master.agents.reports import BY, take_in
from kedge.master.engine.head import Head
from kedge.sync.difference import Stamp
from kedge.sync.wire import Epoch

NEVER = Epoch(0, -1)


class Report(NamedTuple):
    """All that an agent reported, with its place in the order of reports."""

    epoch: Epoch
    version: int
    attached: bool
    entries: Mapping[str, bytes | None]
    configured: Stamp | None = None
    """Which configured record the agent holds; None where that was not asked."""

    @property
    def stamp(self) -> tuple[Epoch, int]:
        """Greater than that of every earlier report."""
        return self.epoch, self.version

    def as_entry(self) -> dict[str, object]:
        """As it travels."""
        told: dict[str, object] = {
            "epoch": list(self.epoch),
            "version": self.version,
            "attached": self.attached,
            "entries": dict(self.entries),
        }
        if self.configured is not None:
            told["configured"] = [*self.configured.epoch, self.configured.version]
        return told


class _Told(msgspec.Struct, frozen=True):
    epoch: tuple[int, int]
    version: int
    attached: bool
    entries: dict[str, bytes | None]
    configured: tuple[int, int, int] | None = None


def report_of(told: object) -> Report | None:
    """What travelled, or None for what is none."""
    try:
        read = msgspec.convert(told, _Told)
    except msgspec.ValidationError:
        return None
    held = read.configured
    configured = Stamp(Epoch(*held[:2]), held[2]) if held is not None else None
    return Report(Epoch(*read.epoch), read.version, read.attached, read.entries, configured)


def report_here(link: Link, node: str, *, holds: bool = False) -> Report | None:
    """What the node's agent reported here, and what it ``holds``; None when it did not report in this
    process."""
    stamp, entries = link.parent.held(node)
    attached = link.parent.is_attached(node)
    if not stamp.version and not attached:
        return None
    epoch = stamp.epoch if stamp.version else link.parent.epoch(node) or stamp.epoch
    configured = link.parent.configured_at(node) if holds else None
    values = {n: e.value for n, e in entries.items()}
    return Report(epoch, stamp.version, attached, values, configured)


class Heard:
    """Reports that came round by other parents, taken in as if the agent were attached here."""

    def __init__(self, head: Head, link: Link) -> None:
        self._head, self._link = head, link
        self._told: dict[str, Report] = {}
        self.elsewhere: dict[str, Report] = {}
        """Those that count: of nodes whose agents are attached to other parents."""

    def take(self, node: str, told: object) -> None:
        """A report came, or (None) there is none that is newer than what is heard here."""
        report = report_of(told)
        before = self.elsewhere.pop(node, None)
        self._told.pop(node, None)
        if report is None or report.epoch <= self._link.ended.get(node, NEVER):
            return  # (what was said in a boot that is over counts for nothing)
        if report.attached:
            self._told[node] = report
        if self._is_here(node, report):
            return
        if not report.attached:
            self._head.forget_reports(node, BY, what="silent", why="no parent hears its agent")
            return
        self.elsewhere[node] = report
        if before is None or report.epoch != before.epoch:
            why = "its agent reports to another parent"
            self._head.forget_reports(node, BY, what="relayed", why=why)
            before = None
        gone = before.entries.keys() - report.entries.keys() if before is not None else ()
        take_in(self._head, node, {**dict.fromkeys(gone), **report.entries})

    def _is_here(self, node: str, report: Report) -> bool:
        """Whether the agent said here what it reported there, or more. An agent that said more there is
        there, though it may still seem to be attached here."""
        here = report_here(self._link, node)
        if here is None or report.stamp > here.stamp:
            return False
        return here.attached or here.stamp > report.stamp

    def again(self, node: str) -> None:
        """Nothing is heard of the agent here any more: what another parent relays counts again."""
        report = self._told.get(node)
        if report is not None:
            self.take(node, report.as_entry())
