"""What people see of releases and rollouts."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.cli.main import run


def seen(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0
    told = capsys.readouterr()
    return told.out + told.err


def test_a_rollout_is_drawn_with_all_that_was_seen(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = seen(capsys, "rollout", "status", "weekly")
    for words in ("1 of 4 done", "waits for n2", "failed: n2: no boot", "left aside: n3: held"):
        assert words in told
    assert "2 nodes, 1 per rack" in told and "gate hpl of canary: to come" in told
    assert "canary" in seen(capsys, "rollout", "status")


def test_a_plan_says_how_long_and_what_is_left(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = seen(capsys, "rollout", "plan", "weekly", "--release", "B")
    for words in ("4 nodes to B in about 2h", "at most 2 at once", "once approved", "n4"):
        assert words in told, told
    rows = [line.split() for line in told.splitlines()[-2:]]
    assert [row[0] for row in rows] == ["0-1", "2"]


def test_releases_are_listed(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told = seen(capsys, "release", "list")
    assert "c0ffee" in told and "n[1-2]" in told
    assert "a.yaml (7 characters)" in seen(capsys, "release", "show", "A")
    assert "no difference" in seen(capsys, "release", "diff", "A", "B")
    assert run(["release", "create", "C", "--service", "slurm"]) == 2
    assert run(["release", "delete", "A", "--yes"]) == 1
