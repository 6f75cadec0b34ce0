"""From a rollout as the site describes it to one that can begin: which nodes its stages are, and that
this makes sense. Everything that does not is refused here, before anything is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand, fold
from kedge.rollout.model import FINAL, Gate, Progress, Rollout, Stage
from kedge.site.model import Site
from kedge.site.rollout_gates import GateText
from kedge.site.rollouts import RolloutText, Selection, StageText


def begin(
    text: RolloutText,
    site: Site,
    release: str,
    assigned: Mapping[str, str],
    broken: Collection[str],
    by: str,
    at: float,
) -> Rollout:
    """The rollout of ``release`` as ``text`` describes it, on the site as it is now."""
    explicit = {
        node for stage in text.stages for node in _selected(stage.selection, site, stage.place)
    }
    scope = _selected(text.selection, site, text.place) if text.selection else list(site.nodes)
    stages: list[Stage] = []
    for stage in text.stages:
        stages.append(_stage(text, stage, site, scope, explicit, stages))
    nodes = list(dict.fromkeys(node for stage in stages for node in stage.nodes))
    _refuse_haste(text, stages, nodes)
    attributes = {name for node in nodes for name in site.nodes[node].attributes} | {"group"}
    for attribute in (*text.most_out_of, *filter(None, (text.one_at_a_time,))):
        if attribute not in attributes:
            raise KedgeError(
                "rollout.domain", f"no node of rollout {text.name} has a var {attribute!r}",
                where=str(text.place), next_step=f"Valid: {', '.join(sorted(attributes))}",
            )  # fmt: skip
    return Rollout(
        name=text.name,
        release=release,
        was={node: assigned.get(node, "") for node in nodes},
        stages=tuple(stages),
        most_out=text.most_out.of(len(nodes), down=True),
        most_out_of=dict(text.most_out_of),
        order="idle" if text.order == "idle" else "shortest",
        one_at_a_time=text.one_at_a_time,
        most_failed=text.most_failed,
        on_failure="rollback" if text.on_failure == "rollback" else "pause",
        broken=frozenset(broken).intersection(nodes),
        by=by,
        at=at,
    )


def refuse_overlap(rollout: Rollout, others: Mapping[str, tuple[Rollout, Progress]]) -> None:
    """A node is in one rollout at a time."""
    for name, (other, progress) in others.items():
        if progress.state in FINAL:
            continue
        if name == rollout.name:
            raise KedgeError(
                "rollout.running", f"rollout {name} is {progress.state.replace('_', ' ')} already",
                next_step=f"kedge rollout status {name}; or end it: kedge rollout abort {name}",
            )  # fmt: skip
        shared = other.was.keys() & rollout.was.keys()
        if shared:
            raise KedgeError(
                "rollout.overlap",
                f"{fold(shared)} would be in two rollouts: {rollout.name} and {name}",
                why=f"{name} is {progress.state.replace('_', ' ')}",
                next_step=f"Wait for it, or end it: kedge rollout abort {name}",
            )


def _selected(selection: Selection, site: Site, where: object) -> list[str]:
    nodes = [node for text in selection.nodes for node in expand(text, where=str(where))]
    for group in selection.groups:
        if group not in site.groups:
            raise KedgeError(
                "rollout.unknown_group", f"there is no group {group!r}", where=str(where),
                next_step=f"Valid: {', '.join(site.groups)}",
            )  # fmt: skip
        nodes += site.groups[group].nodes
    unknown = [node for node in nodes if node not in site.nodes]
    if unknown:
        raise KedgeError(
            "node.unknown", f"no such node: {fold(unknown)}", where=str(where),
            next_step=f"Known nodes: {fold(site.nodes)}",
        )  # fmt: skip
    return list(dict.fromkeys(nodes))


def _stage(
    text: RolloutText,
    stage: StageText,
    site: Site,
    scope: Sequence[str],
    explicit: Collection[str],
    earlier: Sequence[Stage],
) -> Stage:
    """A stage with a selection has those nodes; one without, all that no stage names."""
    if stage.selection:
        nodes = _selected(stage.selection, site, stage.place)
    else:
        nodes = [node for node in scope if node not in explicit]
    goal = len(nodes) if stage.size is None else min(len(nodes), stage.size.of(len(nodes)))
    before = {node for other in earlier if other.goal == len(other.nodes) for node in other.nodes}
    if not nodes or before.issuperset(nodes):
        raise KedgeError(
            "rollout.empty_stage", f"stage {stage.name} of rollout {text.name} selects no node",
            where=str(stage.place),
            why="all its nodes belong to stages before it" if nodes else "",
            next_step="Give it nodes, or remove it",
        )  # fmt: skip
    gates = tuple(_gate(text.gates[name]) for name in stage.gates)
    late = "ask" if stage.late == "ask" else "requeue" if stage.late == "requeue" else "wait"
    return Stage(
        stage.name, tuple(nodes), goal, gates, stage.manual, stage.deadline_s, late
    )  # fmt: skip


def _gate(text: GateText) -> Gate:
    kind = (
        "compare" if text.kind == "compare" else "reframe" if text.kind == "reframe" else "command"
    )
    return Gate(
        text.name, kind, text.command, text.deadline_s, text.slower_by, text.least, text.most
    )


def _refuse_haste(text: RolloutText, stages: Sequence[Stage], nodes: Sequence[str]) -> None:
    """A stage that is the whole rollout at once leaves nothing that it could be tested on."""
    first = text.stages[0]
    if len(nodes) > 1 and stages[0].goal == len(nodes) and not first.whole:
        raise KedgeError(
            "rollout.whole_cluster",
            f"stage {first.name}, the first of rollout {text.name}, would update all {len(nodes)} "
            "nodes",
            where=str(first.place),
            why="a release that is broken would be on all of them before anybody saw it",
            next_step="Put a stage with a few nodes before it, or write: whole: true",
        )
