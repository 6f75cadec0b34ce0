"""How answers are worded: where a value is written, how a hold ends, goals as they are typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kedge.core.condition import Condition, PlannedStep
from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.engine.nodes import NodeState
from kedge.master.intent.holds import holder, release_command
from kedge.site.diff import Change
from kedge.site.diff import fold as fold_changes
from kedge.site.model import Origin


def written(value: Value, origin: Origin | None) -> dict[str, Any]:
    """A configured value, where it is written, and (0: in a file) when it was set by command."""
    if origin is None:
        return {"value": value, "origin": "default", "at": 0.0}
    return {"value": value, "origin": str(origin), "at": origin.at}


def reason_of(condition: Condition, node: NodeState, telling: Iterable[str]) -> str:
    """Why a node is in its phase, with what its ``telling`` variables say and what is wrong with the duties
    that it waits for; of one that has converged also what cannot be asked any more."""
    if condition.phase != "converged":
        said = [str(text) for name in telling if (text := node.seen(name))]
        ailing = [
            f"{name}: {wrong}" for name, wrong in node.ailing.items() if name in condition.why
        ]
        parts = [*said, condition.why] if condition.phase == "blocked" else [condition.why, *said]
        return "; ".join([*parts, *ailing])
    if not condition.failures:
        return condition.why
    silent = "; ".join(f"{name}: {why}" for name, why in condition.failures.items())
    return f"{condition.why}, but {silent}"


def reference_of(node: NodeState) -> str:
    """The reference of the image that runs on a node; empty where it is not the wanted one."""
    wanted, running = node.configured("image.wanted"), node.seen("image.running")
    if not isinstance(wanted, dict) or running is None or wanted.get("digest") != running:
        return ""
    return str(wanted.get("reference") or "")


def path_rows(
    steps: Sequence[PlannedStep], reasons: Sequence[str], graph: Graph
) -> list[dict[str, Any]]:
    """The steps of a path as people get them."""
    return [
        {
            "mutation": step.mutation,
            "effects": dict(step.effects),
            "cost_s": step.cost_s,
            "where": step.where,
            "after": list(step.after),
            "why": reason,
            "summary": graph.mutations[step.mutation].summary
            if step.mutation in graph.mutations
            else "",
            "disruptive": step.breaking,
        }
        for step, reason in zip(steps, reasons, strict=True)
    ]


def next_step(
    node: NodeState, condition: Condition, hold: Origin | None, holds: Mapping[str, Any]
) -> str:
    """What is next; a hold ends where it was put: in the site's files, or by command."""
    if not node.configuration.hold or hold is None:
        return condition.next
    if hold.file:
        return f"take hold out of {hold.file}:{hold.line} ({hold.layer}), then: kedge apply"
    key = holder(holds, node.configuration)
    return release_command(key) if key else condition.next


def goals_of(text: str, graph: Graph) -> dict[str, str]:
    """``power.state=off,boot.stage=none`` as goals; raises `KedgeError` for what nobody can plan for."""
    goals: dict[str, str] = {}
    planned = {name: v for name, v in graph.variables.items() if v.planned}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, symbol = word.partition("=")
        variable = planned.get(name)
        if variable is None or symbol not in variable.domain[1:]:
            valid = variable.domain[1:] if variable is not None else sorted(planned)
            what = "symbol" if variable is not None else "planned variable"
            raise KedgeError(
                "plan.goal", f"{word!r} names no {what}", next_step=f"Valid: {', '.join(valid)}"
            )
        goals[name] = symbol
    return goals


def rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Changes as people get them, equal ones of many nodes folded."""
    return [change.as_dict() for change in fold_changes(changes)]
