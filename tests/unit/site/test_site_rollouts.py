"""How rollouts are read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.lib.errors import KedgeErrors
from kedge.site.rollout_words import Share
from kedge.site.rollouts import read_rollouts

EXAMPLES = Path(__file__).parents[3] / "examples"
GATE = "gates: { g: { command: 'true', deadline: 1s } }\n"


def read(text: str, name: str = "weekly") -> object:
    return read_rollouts({f"rollouts/{name}.yaml": text})[name]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/rollouts/*.yaml")), ids=lambda p: p.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    (found,) = read_rollouts({f"rollouts/{path.name}": path.read_text()}).values()
    assert found.name == path.stem and found.stages


def test_the_howto_can_be_read() -> None:
    howto = EXAMPLES.parent / "docs/howto/roll-a-release.md"
    _, _, rest = howto.read_text().partition("```yaml\n")
    found = read_rollouts({"rollouts/weekly.yaml": rest.partition("```")[0]})["weekly"]
    assert [stage.name for stage in found.stages] == ["test", "canary", "tenth", "rest"]


def test_shares_are_at_least_one_node_and_never_more_than_allowed() -> None:
    assert Share(percent=10).of(25, down=True) == 2
    assert Share(percent=10).of(25) == 3
    assert Share(percent=1).of(5, down=True) == 1
    assert Share(count=8).of(5) == 5 and Share(count=8).of(0) == 0


def test_everything_is_read() -> None:
    found = read_rollouts(
        {
            "rollouts/w.yaml": """
nodes: [n1, "n[2-9]"]
max_unavailable: 20%
max_unavailable_per: { rack: 2 }
order: idle
one_at_a_time: rack
max_failed: 1
on_failure: rollback
gates:
  a: { command: [srun, -w, "{nodes}", ./a], deadline: 90s }
  b: { compare: ./b, slower_by: 3%, samples: 4, most_samples: 9, deadline: 2h }
  c: { reframe: { checks: [x, y], config: s.py, tags: [t], args: [--foo] }, deadline: 1d }
stages:
  - { name: one, groups: g, gates: [a, b], approval: manual, deadline: 4h, at_deadline: ask }
  - { name: two, percent: 10 }
  - { name: three, rest: true }
""",
            "rollouts.yaml": "not: one",
            "rollouts/readme.txt": "nor this",
        }
    )["w"]
    assert found.selection.nodes == ("n1", "n[2-9]") and found.most_out == Share(percent=20)
    assert found.gates["a"].command == ("srun", "-w", "{nodes}", "./a")
    assert found.gates["b"].command == ("/bin/sh", "-c", "./b")
    assert (found.gates["b"].slower_by, found.gates["b"].least, found.gates["b"].most) == (
        0.03,
        4,
        9,
    )
    assert found.gates["c"].command == (
        "reframe", "--config-file", "s.py", "--checkpath", "x", "--checkpath", "y", "--recursive",
        "--tag", "t", "--distribute=all", "-J", "nodelist={nodes}", "--run", "--performance-report",
        "--foo",
    )  # fmt: skip
    one, two, three = found.stages
    assert (one.manual, one.deadline_s, one.late) == (True, 14400, "ask")
    assert two.size == Share(percent=10) and not two.selection and three.size is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stages: [{ name: a, count: 1 }]", "does not say max_unavailable"),
        ("max_unavailable: 0\nstages: [{ name: a, count: 1 }]", "a number of nodes or a part"),
        ("max_unavailable: 120%\nstages: [{ name: a, count: 1 }]", "a number of nodes or a part"),
        ("max_unavailable: 1", "has no stages"),
        ("max_unavailable: 1\nstages: [{ count: 1 }]", "a stage needs a name"),
        ("max_unavailable: 1\nstages: [{ name: a, rest: true, count: 1 }]", "is the rest"),
        ("max_unavailable: 1\nstages: [{ name: a, count: 1, percent: 2 }]", "either count or"),
        ("max_unavailable: 1\nstages: [{ name: a, count: 1 }, { name: a, rest: true }]", "two stages"),
        ("max_unavailable: 1\norder: longest\nstages: [{ name: a, count: 1 }]", "value of order"),
        ("max_unavailable: 1\nstages: [{ name: a, count: 1, at_deadline: ask }]", "no deadline"),
        (GATE + "max_unavailable: 1\nstages: [{ name: a, count: 1, gates: [h] }]", "unknown gate 'h'"),
        ("max_unavailable: 1\ngates: { g: { deadline: 1s } }\nstages: [{ name: a, count: 1 }]",
         "must be one of command, reframe, compare"),
        ("max_unavailable: 1\ngates: { g: { command: x } }\nstages: [{ name: a, count: 1 }]",
         "it might never end"),
        ("- 1", "a rollout must be a mapping"),
        ("a: [", "this is not YAML"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(KedgeErrors) as caught:
        read(text)
    assert any(words in error.what for error in caught.value.errors), str(caught.value)
    assert all(error.where.startswith("rollouts/weekly.yaml") for error in caught.value.errors)


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(KedgeErrors, match="no name for a rollout"):
        read("max_unavailable: 1\nstages: [{ name: a, count: 1 }]", name="a b")
