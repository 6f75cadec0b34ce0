"""Reads the gates of a rollout: commands, ReFrame suites, comparisons with the old release."""

from __future__ import annotations

from dataclasses import dataclass

from kedge.site import words
from kedge.site.leaves import entries
from kedge.site.problems import Place, Problems
from kedge.site.rollout_words import Share, seconds, share, texts, whole
from kedge.site.tree import Items, Table, Tree

KINDS = ("command", "reframe", "compare")
GATE_KEYS = (*KINDS, "deadline", "slower_by", "samples", "most_samples")
REFRAME_KEYS = ("checks", "config", "system", "tags", "args")


@dataclass(frozen=True, slots=True)
class GateText:
    """One gate as it is written; ``command`` is what the head runs."""

    name: str
    place: Place
    kind: str
    command: tuple[str, ...]
    deadline_s: float
    slower_by: float
    least: int
    most: int


def read_gates(tree: Tree | None, problems: Problems) -> dict[str, GateText]:
    """``gates:`` of a rollout, by name."""
    found: dict[str, GateText] = {}
    if tree is None:
        return found
    for name, spec, place in entries(tree, "gates", problems):
        if not words.WORD.fullmatch(name):
            problems.refuse("bad_name", place, f"{name!r} is no name for a gate")
        elif isinstance(spec, Table):
            gate = _gate(name, spec, place, problems)
            if gate is not None:
                found[name] = gate
        else:
            problems.refuse(
                "not_a_mapping", place, f"gate {name} must be a mapping",
                next_step=f"{name}: {{ command: ./test.sh, deadline: 15min }}",
            )  # fmt: skip
    return found


def _gate(name: str, spec: Table, place: Place, problems: Problems) -> GateText | None:
    given = spec.entries
    for key in given:
        if key not in GATE_KEYS:
            problems.unknown("unknown_key", spec.keys[key], "key of a gate", key, GATE_KEYS)
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        problems.refuse(
            "bad_gate", place, f"gate {name} must be one of {', '.join(KINDS)}",
            next_step=f"{name}: {{ command: ./test.sh, deadline: 15min }}",
        )  # fmt: skip
        return None
    if "deadline" not in given:
        problems.refuse(
            "no_deadline", place, f"gate {name} has no deadline: it might never end",
            next_step="Write: deadline: 15min",
        )  # fmt: skip
    kind = kinds[0]
    command = (
        _reframe(given[kind], problems) if kind == "reframe" else _command(given[kind], problems)
    )
    slower = (
        share(given["slower_by"], "slower_by", problems, bare_is_percent=True)
        if ("slower_by" in given)
        else None
    )
    least = max(2, whole(given.get("samples"), "samples", 5, problems))
    most = whole(given.get("most_samples"), "most_samples", 4 * least, problems)
    return GateText(
        name, place, kind, command, seconds(given.get("deadline"), "deadline", problems, 60.0),
        (slower or Share(percent=5.0)).percent / 100, least, max(least, most),
    )  # fmt: skip


def _command(tree: Tree, problems: Problems) -> tuple[str, ...]:
    """A list of words, or one text for the shell."""
    found = texts(tree, "command", problems)
    return found if isinstance(tree, Items) or not found else ("/bin/sh", "-c", found[0])


def _reframe(tree: Tree, problems: Problems) -> tuple[str, ...]:
    """The command line of a ReFrame run on the updated nodes, one job for each test and node.

    ReFrame submits through the scheduler itself; ``{nodes}`` and ``{release}`` are put in when it runs.
    """
    if not isinstance(tree, Table):
        problems.refuse(
            "not_a_mapping", tree.place, "reframe must be a mapping",
            next_step="reframe: { checks: suites/node, config: suites/settings.py }",
        )  # fmt: skip
        return ()
    given = tree.entries
    for key in given:
        if key not in REFRAME_KEYS:
            problems.unknown("unknown_key", tree.keys[key], "key of reframe", key, REFRAME_KEYS)
    checks = texts(given.get("checks"), "checks", problems)
    if not checks:
        problems.refuse("no_checks", tree.place, "reframe names no checks")
    command = ["reframe"]
    for option, key in (("--config-file", "config"), ("--system", "system")):
        command += [
            word for text in texts(given.get(key), key, problems) for word in (option, text)
        ]
    for check in checks:
        command += ["--checkpath", check]
    command.append("--recursive")
    for tag in texts(given.get("tags"), "tags", problems):
        command += ["--tag", tag]
    command += ["--distribute=all", "-J", "nodelist={nodes}", "--run", "--performance-report"]
    return (*command, *texts(given.get("args"), "args", problems))
