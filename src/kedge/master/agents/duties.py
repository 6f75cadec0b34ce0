"""Duties on their way: from the modules to the nodes' agents by digest, and their reports back.

The file lies among the blobs, where the boot server gives it to nodes; what the agent is told of it
(its digest above all) goes through the authenticated channel, in the node's configured record. A
report names its duty, so what a duty says of another module's variables is refused here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from kedge.core.duty import Duty
from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.agents.encoding import encode
from kedge.master.engine.nodes import NodeState

PREFIX = "duty/"
SHARED_KEPT = 1_000


def place_duties(graph: Graph, state_dir: Path) -> None:
    """Write all duties' files among the blobs, each named by its digest, and say which these are (so
    that nobody collects them)."""
    for duty in graph.duties.values():
        blob = state_dir / "blobs" / "sha256" / duty.digest.removeprefix("sha256:")
        if not blob.exists():
            _write(blob, duty.content)
    named: dict[str, Value] = {duty.name: duty.digest for duty in graph.duties.values()}
    folder = state_dir / "duties"
    folder.mkdir(exist_ok=True)
    _write(folder / "duties.json", encode(named))


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        with draft.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    except OSError as error:
        raise KedgeError(
            "duty.unwritable", "a module's file for the nodes cannot be written", where=str(path),
            why=error.strerror or str(error),
        ) from error  # fmt: skip


class DutyEntries:
    """The entries of configured records that tell agents which duties there are."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._configured = {
            name: [v.name for v in graph.modules[name].variables if v.configured and not v.secret]
            for name in graph.modules
        }
        self._shared: dict[tuple[object, ...], bytes] = {}
        self._plain = {
            name: encode(self._entry(duty, {}))
            for name, duty in graph.duties.items()
            if not self._configured[duty.module]
        }

    def of(self, node: NodeState) -> Iterator[tuple[str, bytes]]:
        """Names and contents for one node; equal ones are one object."""
        for name, duty in self._graph.duties.items():
            if duty.where_set and node.configured(duty.where_set) is None:
                continue
            content = self._plain.get(name)
            if content is None:
                values = {v: node.configured(v) for v in self._configured[duty.module]}
                content = self._encoded(duty, values)
            yield PREFIX + name, content

    def _encoded(self, duty: Duty, values: Mapping[str, Value]) -> bytes:
        """Most nodes have the same values, and mostly none: those are encoded once."""
        if any(isinstance(value, (dict, list)) for value in values.values()):
            return encode(self._entry(duty, values))
        key = (duty.name, *((type(value), value) for value in values.values()))
        known = self._shared.get(key)
        if known is None:
            if len(self._shared) >= SHARED_KEPT:
                self._shared.clear()
            known = self._shared[key] = encode(self._entry(duty, values))
        return known

    def _entry(self, duty: Duty, configured: Mapping[str, Value]) -> Value:
        return {
            "digest": duty.digest,
            "size_bytes": len(duty.content),
            "every_s": duty.every_s,
            "timeout_s": duty.timeout_s,
            "stages": list(duty.stages),
            "reports": list(duty.reports),
            "orders": list(duty.orders),
            "configured": {name: v for name, v in configured.items() if v is not None},
        }


def reported(duty: Duty, told: Value) -> tuple[dict[str, Value], str]:
    """The values of a report (None: unknown), and what is wrong with it: empty where nothing is.

    A duty that could not observe, or whose report is gone, leaves its variables unknown.
    """
    unknown: dict[str, Value] = dict.fromkeys(duty.reports)
    if told is None:
        return unknown, ""
    if not isinstance(told, dict):
        return unknown, "its report is no report"
    error = told.get("error")
    if isinstance(error, dict):
        what = str(error.get("what") or "it failed")[:500]
        why = str(error.get("why") or "")[:500]
        return unknown, f"{what} ({why})" if why else what
    values = told.get("values")
    if not isinstance(values, dict):
        return unknown, "its report has no values"
    foreign = sorted(set(values) - set(duty.reports))
    kept = {name: values.get(name) for name in duty.reports}
    if foreign:
        return kept, f"it reports {', '.join(foreign)[:500]}, which it does not declare"
    return kept, ""
