"""What gates of rollouts say in the simulated world: they take a while, and pass unless told otherwise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kedge.master.process.command import Ran

TAKES_S = (20.0, 240.0)
SPEED, SPREAD, SLOWER = 100.0, 0.01, 0.2
"""What a gate that compares prints: about so much, and on a slow release this share less."""


@dataclass
class GateIlls:
    """What is wrong with gates now: they ``fail``, ``hang``, or find the new release ``slow``."""

    how: str = ""


class Gates:
    """The gates of one head. ``told`` hears of rollout and gate, and whether the command passed (or, of
    one that never ends, that it does not); ``is_new`` says whether a node runs the newest build."""

    def __init__(
        self,
        chance: random.Random,
        told: Callable[[str, str, bool], None],
        is_new: Callable[[str], bool],
    ) -> None:
        self.ills = GateIlls()
        self._chance = chance
        self._told = told
        self._is_new = is_new

    async def run(self, environment: Mapping[str, str], node: str) -> Ran:
        """Stands for the command of a gate; ``node`` is the one that it is about, where it is about one."""
        await asyncio.sleep(self._chance.uniform(*TAKES_S))
        passes = self.ills.how in ("", "slow")
        self._told(environment["KEDGE_ROLLOUT"], environment["KEDGE_GATE"], passes)
        if self.ills.how == "hang":
            await asyncio.get_running_loop().create_future()
        if not passes:
            return Ran(1, "simulated: the test failed")
        speed = self._chance.gauss(SPEED, SPEED * SPREAD)
        if self.ills.how == "slow" and self._is_new(node):
            speed *= 1.0 - SLOWER
        return Ran(0, f"simulated: passed, speed {speed:.3f}")
