"""Where the agent finds itself: its stage of the boot, its node, and the paths of that stage."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kedge.agent.boot_arguments import BootArguments
from kedge.agent.keeping import Keeping
from kedge.lib.errors import KedgeError

LAYER0, RUNNING, STUCK = "layer0", "running", "stuck"
SYSROOT = "/sysroot"  # where the initramfs has the image before it hands over


class Place(NamedTuple):
    """What duties are given. Paths are as the agent sees them from within layer0."""

    stage: str
    boot: BootArguments
    keeping: Keeping
    run: Path = Path("/run")
    process_1: Path = Path("/proc/1/root")

    @property
    def image_root(self) -> str:
        """The image's root: mounted and waiting in stage layer0, process 1's own after that."""
        root = str(self.process_1)
        return root + SYSROOT if self.stage == LAYER0 else root + "/"

    def require(self, stage: str, order: str) -> None:
        """Refuse an order that fits another stage."""
        if self.stage != stage:
            raise KedgeError(
                "agent.stage",
                f"{order} cannot be done now",
                where=self.boot.node,
                why=f"the node is in stage {self.stage}, not {stage}",
                next_step=f"Boot the node again: kedge power cycle {self.boot.node}",
            )
