"""How rollouts are drawn for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from kedge.cli.render import duration, table
from kedge.shapes.rollouts import RolloutDetail, RolloutPlan, RolloutRow

UNDER_WAY = ("running", "paused", "rolling_back")
NEXT = {
    "paused": "next: kedge rollout resume {name} [--accept], rollback {name}, or abort {name}",
}


def rollout_table(rows: Sequence[RolloutRow]) -> list[RenderableType]:
    """All rollouts in one table."""
    if not rows:
        return ["no rollouts yet: describe one in rollouts/NAME.yaml of the site's folder"]
    drawn = table("rollout", "release", "state", "stage", "done", "out", "why")
    for row in rows:
        done = f"{row.done} of {row.nodes}" if row.nodes else ""
        why = row.why or "; ".join(row.waits)
        state = row.state.replace("_", " ")
        drawn.add_row(row.name, row.release, state, row.stage, done, str(row.out), why)
    return [drawn]


def status_lines(rows: Sequence[RolloutRow]) -> Iterator[Text]:
    """One line for each rollout that is not over: what it waits for, and where to look."""
    for row in rows:
        if row.state not in UNDER_WAY:
            continue
        why = row.why or "; ".join(f"waits {wait}" for wait in row.waits)
        why = f": {why}" if why else ""
        yield Text(
            f"rollout {row.name} to {row.release}: {row.state.replace('_', ' ')}, "
            f"{row.done} of {row.nodes} done{why}. See: kedge rollout status {row.name}",
            style="red" if row.state == "paused" else "yellow",
        )


def rollout_words(found: RolloutDetail) -> str:
    """The present state on one line, or a few."""
    stage = f", stage {found.stage}" if found.stage else ""
    head = (
        f"rollout {found.name} to {found.release}: {found.state.replace('_', ' ')}{stage}: "
        f"{found.done} of {found.nodes} done, {found.out} out of service"
    )
    waits = found.waits if found.state in ("running", "rolling_back") else []
    lines = [head, *([f"  {found.why}"] if found.why else []), *(f"  waits {w}" for w in waits)]
    if found.state in NEXT:
        lines.append("  " + NEXT[found.state].format(name=found.name))
    return "\n".join(lines)


def rollout_lines(found: RolloutDetail) -> Iterator[RenderableType]:
    """Everything."""
    yield rollout_words(found)
    limits = [f"{found.most_out} nodes", *(f"{n} per {a}" for a, n in found.most_out_of.items())]
    yield f"  at most out of service: {', '.join(limits)}"
    drawn = table("stage", "state", "on release", "serving", "goal", "nodes")
    for stage in found.stages:
        drawn.add_row(
            stage.name, stage.state.replace("_", " "), str(stage.on_release), str(stage.done),
            str(stage.goal), stage.nodes,
        )  # fmt: skip
    yield drawn
    for stage in found.stages:
        for gate in stage.gates:
            why = f": {gate.why}" if gate.why else ""
            yield f"  gate {gate.name} of {stage.name}: {gate.state}{why}"
    for why, nodes in found.failed.items():
        yield f"  failed: {nodes}: {why}"
    for why, nodes in found.aside.items():
        yield f"  left aside: {nodes}: {why}"


def plan_lines(found: RolloutPlan) -> Iterator[RenderableType]:
    """How long, and how much is left."""
    if found.end_s < 0:
        yield f"It does not get to its end: {found.stuck}"
    else:
        yield f"{found.nodes} nodes to {found.release} in about {duration(found.end_s)}"
    yield f"  one update takes about {duration(found.update_s)}, at most {found.most_out} at once"
    if found.unmoved:
        yield f"  nothing changes for {found.unmoved}: they run what they run now"
    for stage in found.stages:
        approval = " (once approved)" if stage.approval else ""
        if stage.begin_s < 0:
            yield f"  stage {stage.name}: not reached"
        else:
            end = duration(stage.end_s) if stage.end_s >= 0 else "?"
            yield f"  stage {stage.name}: from {duration(stage.begin_s)} to {end}{approval}"
    drawn = table("hour", "in service, at least")
    begin = 0
    for hour in range(1, len(found.capacity) + 1):
        if hour == len(found.capacity) or found.capacity[hour] != found.capacity[begin]:
            span = str(begin) if hour - begin == 1 else f"{begin}-{hour - 1}"
            drawn.add_row(span, f"{found.capacity[begin]} of {found.nodes}")
            begin = hour
    yield drawn
