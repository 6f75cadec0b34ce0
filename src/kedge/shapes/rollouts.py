"""How the API tells of rollouts, and is asked for them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from kedge.shapes.releases import ReleaseName


class RolloutRow(Struct):
    """A rollout in one line: its ``state`` (*described*: it is in the site's files and never began),
    since when and why, its present stage, and how many of its nodes are done and are out of service."""

    name: str
    release: str
    state: str
    why: str
    stage: str
    since: float
    nodes: int
    done: int
    out: int
    waits: list[str]


class GateRow(Struct):
    """A gate of a stage: running, passed, failed or to come."""

    name: str
    state: str
    why: str
    since: float


class StageRow(Struct):
    """A stage: ``goal`` of ``nodes`` shall be on the release, ``on_release`` are, ``done`` serve with it."""

    name: str
    state: str
    nodes: str
    goal: int
    on_release: int
    done: int
    approval: bool
    gates: list[GateRow]


class RolloutDetail(RolloutRow, kw_only=True):
    """All of a rollout; ``failed`` and ``aside`` are nodesets by reason."""

    by: str
    at: float
    most_out: int
    most_out_of: dict[str, int]
    failed: dict[str, str]
    aside: dict[str, str]
    stages: list[StageRow]


class StageForecastRow(Struct):
    """When a stage begins and ends, in seconds from now (-1: not)."""

    name: str
    begin_s: float
    end_s: float
    approval: bool


class RolloutPlan(Struct):
    """What is foreseen: the end in seconds from now (-1: it gets stuck, on ``stuck``), the least number
    of nodes in service in each hour, how long one update takes, and nodes that nothing changes for."""

    name: str
    release: str
    end_s: float
    stuck: str
    nodes: int
    most_out: int
    update_s: float
    stages: list[StageForecastRow]
    capacity: list[int]
    unmoved: str


class RolloutQuery(Struct, forbid_unknown_fields=True):
    """For which release to plan a rollout that does not run."""

    release: ReleaseName = ""


class RolloutStart(Struct, forbid_unknown_fields=True):
    """Which release to roll out."""

    release: ReleaseName


class RolloutWord(Struct, forbid_unknown_fields=True):
    """What a person says to a rollout, and why; ``accept`` what failed, when it resumes."""

    verb: Literal["approve", "pause", "resume", "abort", "rollback"]
    why: Annotated[str, Meta(max_length=4096)] = ""
    accept: bool = False
