"""How rollouts are kept in the store: nodes as folded nodesets, and a format that later versions read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand, fold
from kedge.rollout.model import Gate, Progress, Rollout, Stage, Verdict

FORMAT = 1


def as_record(rollout: Rollout, progress: Progress) -> dict[str, Any]:
    """Both, for the store; JSON can hold it."""
    return {"format": FORMAT, "rollout": _rollout(rollout), "progress": _progress(progress)}


def read_record(record: Mapping[str, Any]) -> tuple[Rollout, Progress]:
    """What `as_record` gave; raises `KedgeError` for what a newer Kedge wrote."""
    if record.get("format") != FORMAT:
        raise KedgeError(
            "rollout.format",
            f"a rollout has the format {record.get('format')}, this Kedge reads {FORMAT}",
            next_step="Start the Kedge version that began it",
        )
    return _read_rollout(record["rollout"]), _read_progress(record["progress"])


def _rollout(rollout: Rollout) -> dict[str, Any]:
    was: dict[str, list[str]] = {}
    for node, release in rollout.was.items():
        was.setdefault(release, []).append(node)
    return {
        **{name: getattr(rollout, name) for name in _PLAIN},
        "most_out_of": dict(rollout.most_out_of),
        "was": {release: fold(nodes) for release, nodes in was.items()},
        "broken": fold(rollout.broken),
        "stages": [
            {
                **{name: getattr(stage, name) for name in _STAGE},
                "nodes": fold(stage.nodes),
                "gates": [{**asdict(gate), "command": list(gate.command)} for gate in stage.gates],
            }
            for stage in rollout.stages
        ],
    }


_PLAIN = (
    "name", "release", "most_out", "order", "one_at_a_time", "most_failed", "on_failure", "by", "at",
)  # fmt: skip
_STAGE = ("name", "goal", "approval", "deadline_s", "late")


def _read_rollout(kept: Mapping[str, Any]) -> Rollout:
    was = {node: release for release, nodes in kept["was"].items() for node in _nodes(nodes)}
    stages = tuple(
        Stage(
            **{name: stage[name] for name in _STAGE},
            nodes=tuple(_nodes(stage["nodes"])),
            gates=tuple(msgspec.convert(gate, Gate) for gate in stage["gates"]),
        )
        for stage in kept["stages"]
    )
    return Rollout(
        **{name: kept[name] for name in _PLAIN},
        was=was,
        stages=stages,
        most_out_of=dict(kept["most_out_of"]),
        broken=frozenset(_nodes(kept["broken"])),
    )


def _nodes(folded: str) -> Iterable[str]:
    return expand(folded) if folded else ()


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        **{name: getattr(progress, name) for name in _PROGRESS},
        "approved": sorted(progress.approved),
        "accepted": fold(progress.accepted),
        "verdicts": {name: asdict(verdict) for name, verdict in progress.verdicts.items()},
    }


_PROGRESS = ("state", "why", "since", "stage", "stage_since", "resumes", "late")


def _read_progress(kept: Mapping[str, Any]) -> Progress:
    return Progress(
        **{name: kept[name] for name in _PROGRESS},
        approved=frozenset(kept["approved"]),
        accepted=frozenset(_nodes(kept["accepted"])),
        verdicts={name: Verdict(**of) for name, of in kept["verdicts"].items()},
    )
