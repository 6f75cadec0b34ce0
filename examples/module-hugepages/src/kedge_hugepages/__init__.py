"""Set when the kernel of a running node uses transparent huge pages, without disturbing its jobs."""

from pathlib import Path

from kedge.core.kinds import Enum
from kedge.core.module import Module

MODES = ("always", "madvise", "never")

module = Module(
    "hugepages", summary="Set when the kernel uses transparent huge pages", version="1.0"
)

mode = module.variable(
    "mode",
    Enum(MODES),
    summary="When memory is given out in huge pages",
    configured=True,
    while_={"boot.stage": "running"},
    initial="always",
)

module.duty(
    "look",
    Path(__file__).with_name("duty.py").read_text(),
    reports=[mode],
    carries_out=[
        module.edge(
            f"set_{chosen}",
            {mode: chosen},
            where="node",
            requires={
                mode: [other for other in MODES if other != chosen],
                "boot.stage": "running",
            },
            live=True,
            timeout_s=30,
            summary=f"Write {chosen} to the kernel's switch",
        )
        for chosen in MODES
    ],
    every_s=300,
    timeout_s=10,
    requires={"boot.stage": "running"},
)
