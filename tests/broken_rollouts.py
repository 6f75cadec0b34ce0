"""Bugs planted into the decisions of rollouts, which the simulators have to find."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kedge.rollout import decide
from kedge.rollout.choosing import Room
from kedge.rollout.model import Decision, Progress, Rollout
from kedge.rollout.survey import Survey


def take_too_many(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """There is always room, for ``most`` nodes in a round."""
    monkeypatch.setattr(Room, "take", lambda self, view: True)
    monkeypatch.setattr(
        Room, "left", property(lambda self: most, lambda self, left: None), raising=False
    )


def go_on_after_a_failed_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that failed is taken for one that passed."""
    real = decide._gates  # pyright: ignore[reportPrivateUsage]

    def blind(rollout: Rollout, progress: Progress, survey: Survey, now: float) -> Decision | None:
        verdicts = progress.verdicts.items()
        passed = {name: replace(v, state="passed") for name, v in verdicts if v.state == "failed"}
        seen = replace(progress, verdicts={**progress.verdicts, **passed})
        return real(rollout, seen, survey, now)

    monkeypatch.setattr(decide, "_gates", blind)
