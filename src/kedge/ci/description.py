"""Reads ``ci.yaml``: the steps that a commit must pass, and what becomes of it then."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kedge.lib.errors import KedgeError
from kedge.site.problems import Place, Problems
from kedge.site.rollout_words import flag, seconds, texts
from kedge.site.tree import Items, Scalar, Table, Tree, read_yaml

FILE = "ci.yaml"
KEYS = ("release", "steps", "apply", "rollout")
STEP_KEYS = ("name", "run", "deadline")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
EXAMPLE = "steps: [{ name: images, run: ./build.sh, deadline: 30min }]"


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the site (for the shell), run in the folder as it was pushed."""

    name: str
    run: str
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``release`` is the pattern of the release's name; ``apply``: the folder becomes the site;
    ``rollout`` (empty: none) is started with the release."""

    release: str
    steps: tuple[Step, ...]
    apply: bool
    rollout: str

    def release_name(self, commit: str, date: str) -> str:
        """The name of this commit's release: ``{short}``, ``{commit}`` and ``{date}`` are put in."""
        name = self.release.replace("{short}", commit[:8])
        return name.replace("{commit}", commit).replace("{date}", date)


def read_pipeline(text: str, where: str = FILE) -> Pipeline:
    """The pipeline that a text describes; raises `KedgeErrors` with all that is wrong."""
    problems = Problems()
    tree = read_yaml(text, where, problems)
    if not isinstance(tree, Table):
        raise KedgeError("ci.description", "must be a mapping", where=where, next_step=EXAMPLE)
    for key in tree.entries:
        if key not in KEYS:
            problems.unknown("unknown_key", tree.keys[key], "key of ci.yaml", key, KEYS)
    given = tree.entries
    steps = _steps(given.get("steps"), Place(where), problems)
    pipeline = Pipeline(
        "".join(texts(given.get("release"), "release", problems)) or "{date}-{short}",
        steps,
        flag(given.get("apply"), "apply", problems),
        "".join(texts(given.get("rollout"), "rollout", problems)),
    )
    problems.raise_any()
    return pipeline


def _steps(tree: Tree | None, place: Place, problems: Problems) -> tuple[Step, ...]:
    if tree is None or not isinstance(tree, Items):
        problems.refuse("no_steps", tree.place if tree else place, "no steps", next_step=EXAMPLE)
        return ()
    steps: list[Step] = []
    for item in tree.items:
        if not isinstance(item, Table) or set(item.entries) != set(STEP_KEYS):
            problems.refuse(
                "bad_step", item.place, "a step has a name, a command (run) and a deadline",
                next_step=EXAMPLE,
            )  # fmt: skip
            continue
        name, run = item.entries["name"], item.entries["run"]
        words = [part.raw for part in (name, run) if isinstance(part, Scalar)]
        if len(words) != 2 or not NAME.fullmatch(words[0]) or not words[1]:
            problems.refuse("bad_step", item.place, "name and run must be texts", next_step=EXAMPLE)
        elif any(step.name == words[0] for step in steps):
            problems.refuse("given_twice", item.place, f"two steps are called {words[0]}")
        else:
            deadline_s = seconds(item.entries["deadline"], "deadline", problems)
            steps.append(Step(words[0], words[1], deadline_s))
    return tuple(steps)
