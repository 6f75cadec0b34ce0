"""What a person sees of a node in the engine: its phase, since when, why, and what is next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal[
    "converged",  # discovered is as configured
    "moving",  # a plan is being carried out
    "waiting",  # on something named: a budget, a job, a back-off, a discovery
    "held",  # a person holds it
    "blocked",  # no path leads to what is configured
    "quarantined",  # too many attempts failed; waits for a person
]


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step in flight."""

    mutation: str
    step_id: str
    since: float
    deadline: float


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step still to come: its effects, how long it takes, who carries it out, and which steps it
    comes ``after`` (by place). A ``breaking`` one is destructive or breaks a goal that holds."""

    mutation: str
    effects: Mapping[str, str]
    cost_s: int
    where: str
    after: tuple[int, ...] = ()
    destructive: bool = False
    breaking: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One node as the engine sees it, ready to be shown."""

    node: str
    phase: Phase
    since: float
    why: str
    next: str = ""
    discovered: Mapping[str, str] = field(default_factory=dict[str, str])
    goals: Mapping[str, str] = field(default_factory=dict[str, str])
    running: tuple[RunningStep, ...] = ()
    plan: tuple[PlannedStep, ...] = ()
    given_up: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
