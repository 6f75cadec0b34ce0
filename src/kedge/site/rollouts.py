"""Reads how releases shall move through nodes: ``rollouts/NAME.yaml`` in the site's folder.

What is read here is still words of the site (groups, nodesets, percentages); which nodes those are is
settled when a rollout begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kedge.lib.errors import KedgeError
from kedge.site import words
from kedge.site.problems import Place, Problems
from kedge.site.rollout_gates import GateText, read_gates
from kedge.site.rollout_words import Share, choice, flag, seconds, share, texts, whole
from kedge.site.tree import Items, Scalar, Table, Tree, read_yaml

FOLDER = "rollouts/"
KEYS = (
    "summary", "nodes", "groups", "max_unavailable", "max_unavailable_per", "order", "one_at_a_time",
    "max_failed", "on_failure", "gates", "stages",
)  # fmt: skip
STAGE_KEYS = (
    "name", "nodes", "groups", "count", "percent", "rest", "whole", "gates", "approval", "deadline",
    "at_deadline",
)  # fmt: skip
ORDERS = ("shortest", "idle")
FAILURES = ("pause", "rollback")
LATES = ("wait", "ask", "requeue")
APPROVALS = ("automatic", "manual")


@dataclass(frozen=True, slots=True)
class Selection:
    """Nodes in words; both empty: not said."""

    nodes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.nodes or self.groups)


@dataclass(frozen=True, slots=True)
class StageText:
    """One stage as it is written. ``size`` None: all nodes of its selection."""

    name: str
    place: Place
    selection: Selection
    size: Share | None
    whole: bool
    gates: tuple[str, ...]
    manual: bool
    deadline_s: float
    late: str


@dataclass(frozen=True, slots=True)
class RolloutText:
    """One rollout as it is written."""

    name: str
    place: Place
    summary: str
    selection: Selection
    most_out: Share
    most_out_of: Mapping[str, int]
    order: str
    one_at_a_time: str
    most_failed: int
    on_failure: str
    gates: Mapping[str, GateText]
    stages: tuple[StageText, ...]


def read_rollouts(files: Mapping[str, str]) -> dict[str, RolloutText]:
    """All rollouts of a folder, by name; raises one `KedgeErrors` with all that is wrong."""
    problems = Problems()
    found: dict[str, RolloutText] = {}
    for path in sorted(files):
        if not path.startswith(FOLDER) or not path.endswith((".yaml", ".yml")):
            continue
        name = path.removeprefix(FOLDER).rpartition(".")[0]
        if not words.WORD.fullmatch(name) or name in found:
            problems.refuse(
                "bad_name", Place(path), f"{name!r} is no name for a rollout, or is given twice",
                next_step="Use letters, digits and -",
            )  # fmt: skip
            continue
        try:
            tree = read_yaml(files[path], path, problems)
        except KedgeError as error:
            file, _, line = error.where.rpartition(":")
            problems.add(error, Place(file, int(line) if line.isdecimal() else 0))
            continue
        if isinstance(tree, Table):
            found[name] = _Reader(problems).rollout(name, tree)
        else:
            problems.refuse(
                "not_a_mapping", Place(path), "a rollout must be a mapping",
                next_step="See: docs/howto/roll-a-release.md",
            )  # fmt: skip
    problems.raise_any()
    return found


class _Reader:
    """Reads one file."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def known(self, table: Table, keys: tuple[str, ...], what: str) -> dict[str, Tree]:
        for key in table.entries:
            if key not in keys:
                self.problems.unknown("unknown_key", table.keys[key], f"key of {what}", key, keys)
        return {key: value for key, value in table.entries.items() if key in keys}

    def rollout(self, name: str, table: Table) -> RolloutText:
        given, problems = self.known(table, KEYS, "a rollout"), self.problems
        gates = read_gates(given.get("gates"), problems)
        out = given.get("max_unavailable")
        if out is None:
            problems.refuse(
                "no_limit", table.place, f"rollout {name} does not say max_unavailable",
                next_step="Say how many nodes may be out of service, like 10% or 8",
            )  # fmt: skip
        most_out = share(out, "max_unavailable", problems) if out is not None else None
        return RolloutText(
            name=name,
            place=table.place,
            summary=" ".join(texts(given.get("summary"), "summary", problems)),
            selection=self.selection(given),
            most_out=most_out or Share(count=1),
            most_out_of=self.per(given.get("max_unavailable_per")),
            order=choice(given.get("order"), "order", ORDERS, problems),
            one_at_a_time="".join(texts(given.get("one_at_a_time"), "one_at_a_time", problems)[:1]),
            most_failed=whole(given.get("max_failed"), "max_failed", 0, problems),
            on_failure=choice(given.get("on_failure"), "on_failure", FAILURES, problems),
            gates=gates,
            stages=self.stages(name, table, given.get("stages"), gates),
        )

    def selection(self, given: Mapping[str, Tree]) -> Selection:
        return Selection(
            texts(given.get("nodes"), "nodes", self.problems),
            texts(given.get("groups"), "groups", self.problems),
        )

    def per(self, tree: Tree | None) -> dict[str, int]:
        if tree is None:
            return {}
        if not isinstance(tree, Table):
            self.problems.refuse(
                "not_a_mapping", tree.place, "max_unavailable_per must be a mapping",
                next_step="Write: max_unavailable_per: { rack: 2 }",
            )  # fmt: skip
            return {}
        return {
            key: max(1, whole(value, f"max_unavailable_per.{key}", 1, self.problems))
            for key, value in tree.entries.items()
        }

    def stages(
        self, name: str, table: Table, tree: Tree | None, gates: Mapping[str, GateText]
    ) -> tuple[StageText, ...]:
        if not isinstance(tree, Items) or not tree.items:
            self.problems.refuse(
                "no_stages", tree.place if tree else table.place, f"rollout {name} has no stages",
                next_step="Write: stages: [{ name: canary, count: 2 }, { name: rest, rest: true }]",
            )  # fmt: skip
            return ()
        found = [self.stage(item, gates) for item in tree.items]
        stages = tuple(stage for stage in found if stage is not None)
        names = [stage.name for stage in stages]
        for stage in stages:
            if names.count(stage.name) > 1:
                self.problems.refuse(
                    "duplicate_key", stage.place, f"two stages are called {stage.name}"
                )
        return stages

    def stage(self, tree: Tree, gates: Mapping[str, GateText]) -> StageText | None:
        problems = self.problems
        if not isinstance(tree, Table):
            problems.refuse("not_a_mapping", tree.place, "a stage must be a mapping")
            return None
        given = self.known(tree, STAGE_KEYS, "a stage")
        name = given.get("name")
        label = name.raw if isinstance(name, Scalar) else ""
        if not words.WORD.fullmatch(label):
            problems.refuse(
                "bad_name",
                tree.place,
                f"{label!r} is no name for a stage" if label else "a stage needs a name",
                next_step="One word, like: name: canary",
            )
        selection, size = self.selection(given), self.size(given)
        rest = flag(given.get("rest"), "rest", problems)
        if not (rest or selection or size):
            problems.refuse(
                "no_nodes", tree.place, f"stage {label} does not say which nodes",
                next_step="Give nodes, groups, count, percent, or rest: true",
            )  # fmt: skip
        if rest and (selection or size):
            problems.refuse(
                "no_nodes", tree.place, f"stage {label} is the rest, and so cannot say which nodes"
            )
        named = texts(given.get("gates"), "gates", problems)
        for gate in named:
            if gate not in gates:
                problems.unknown("unknown_gate", given["gates"].place, "gate", gate, gates)
        late = choice(given.get("at_deadline"), "at_deadline", LATES, problems)
        deadline_s = seconds(given.get("deadline"), "deadline", problems)
        if "at_deadline" in given and not deadline_s:
            problems.refuse(
                "no_deadline", given["at_deadline"].place, f"stage {label} has no deadline",
                next_step="Write: deadline: 4h",
            )  # fmt: skip
        manual = choice(given.get("approval"), "approval", APPROVALS, problems) == "manual"
        whole_ = flag(given.get("whole"), "whole", problems)
        return StageText(
            label, tree.place, selection, size, whole_, named, manual, deadline_s, late
        )  # fmt: skip

    def size(self, given: Mapping[str, Tree]) -> Share | None:
        if "count" in given and "percent" in given:
            self.problems.refuse(
                "given_twice", given["percent"].place, "give either count or percent"
            )
        if "count" in given:
            return Share(count=max(1, whole(given["count"], "count", 1, self.problems)))
        if "percent" in given:
            return share(given["percent"], "percent", self.problems, bare_is_percent=True)
        return None
