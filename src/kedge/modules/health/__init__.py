"""Know whether a node is fit for work: checks that its agent runs at boot and at intervals.

Any boot makes the verdict unknown, so whatever demands a pass (`scheduler.resume`) waits for the checks.
A failure *stands* across boots in the planner's eyes: a reboot is no cure that Kedge would try by itself,
but after one that somebody else wanted the checks decide anew.
"""

from __future__ import annotations

from pathlib import Path

from kedge.core.kinds import Anything, Enum
from kedge.core.module import Module
from kedge.modules.health.checks import CHECKS, SCRIPTS

module = Module("health", summary="Check on the node whether it is fit for work")

EVERY_S = 300.0  # a round costs a node 4 ms of CPU, however few checks are due
TIMEOUT_S = 240.0

checks = module.variable(
    "checks",
    CHECKS,
    configured=True,
    summary="Which ready checks run, by name, each with its settings",
)
scripts = module.variable(
    "scripts",
    SCRIPTS,
    configured=True,
    summary="Checks of the site's own: commands of the node's image; exit status 0 is a pass",
)
verdict = module.variable(
    "verdict",
    Enum(("pass", "fail")),
    while_={"boot.stage": "running"},
    summary="Whether the node passed all its checks in this boot",
    by_hand="Mend what the check names: it is run again in every round, and the node returns when it passes",
)
standing = module.variable(
    "standing",
    Enum(("clear", "failed")),
    summary="Whether a failed check stands; while one does, no plan hopes for a pass",
)
failed = module.variable(
    "failed", Anything(), summary="The checks that failed, why, and whose the way back is"
)

module.duty(
    "look",
    Path(__file__).with_name("duty.py").read_text(),
    reports=[verdict, standing, failed],
    every_s=EVERY_S,
    timeout_s=TIMEOUT_S,
    requires={"boot.stage": "running", standing: ("clear", "unknown")},
    summary="Runs the checks that are due, and tells their verdict",
)
