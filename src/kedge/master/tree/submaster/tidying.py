"""At a sub-master: copies that its nodes do not need any more go by themselves, as the master has them.

A copy is needed while a node here wants or runs it, and while the master hands it down. What is not needed
for a day goes, so that a way back within it costs no copying; where room is short, what was not needed
for ten minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kedge.lib.errors import KedgeError
from kedge.master.modules.io import MasterIo
from kedge.master.process.space import LOOK_S
from kedge.master.tree.submaster.copying import Copies
from kedge.modules.image.keeping import LEAST_AGE_S
from kedge.modules.image.needs import find_needs
from kedge.modules.image.pins import read_pins
from kedge.modules.image.prune import Asked, remove_unneeded
from kedge.modules.image.relation import reference_of
from kedge.modules.image.store import read_records, touch_record

KEPT_S = 86400.0
TIDY_S = 300.0


class Tidy:
    """Looks what is wanted here; ``is_low`` says whether room is short."""

    def __init__(self, io: MasterIo, copies: Copies, is_low: Callable[[], bool]) -> None:
        self._io, self._copies, self._is_low = io, copies, is_low
        self._site: object = None
        self._why = ""

    async def keep(self) -> None:
        """Wish and remove, for as long as it is not cancelled."""
        while True:
            for _ in range(int(TIDY_S / LOOK_S)):
                await asyncio.sleep(LOOK_S)
                self.wish()
            await self.remove()

    def wish(self) -> None:
        """Wish for what nodes want now, where that may have changed. Before there is a site, nothing is
        known."""
        if self._io.site is not self._site and self._io.nodes():
            self._site = self._io.site
            self._copies.wish_for(self._wanted())

    def _wanted(self) -> set[str]:
        found: set[str] = set()
        for node in self._io.nodes().values():
            reference = reference_of(node.configured("image.wanted"))
            if reference:
                found.add(f"{reference} {node.configured('boot.arch')}")
        return found

    async def remove(self) -> None:
        """Remove what was not needed for so long. A needed record is touched, so its age says for how long
        it is not."""
        if not self._io.nodes():
            return
        state_dir = self._io.state_dir
        nodes, claims = self._io.nodes().values(), self._io.image_claims()
        needs = find_needs(read_records(state_dir), read_pins(state_dir), nodes, claims)
        for digest, need in needs.items():
            if need:
                touch_record(state_dir, digest)
        age_s = LEAST_AGE_S if self._is_low() else KEPT_S
        try:
            await remove_unneeded(self._io, Asked(unused=True, age_s=age_s))
            self._why = ""
        except KedgeError as error:
            if self._why != str(error):
                self._why = str(error)
                self._io.event("", "image", "prune", str(error))
