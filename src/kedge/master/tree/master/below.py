"""At the master: what a sub-master passes on of those below it, taken as if they had said it themselves."""

from __future__ import annotations

from collections.abc import Callable

from kedge.master.agents.link import peer_of
from kedge.master.agents.permits import Permits
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.submasters import SubMasters
from kedge.master.tree.passing import Changes, Standing, apart, read


class FromBelow:
    """Takes reports apart. ``joined`` hears of a process that took a name, before anything that it says;
    ``told`` of each sub-master's own changes."""

    def __init__(
        self,
        submasters: SubMasters,
        permits: Permits,
        joined: Callable[[SubMaster], None],
        told: Callable[[SubMaster, Changes], None],
    ) -> None:
        self._submasters, self._permits = submasters, permits
        self._joined, self._told = joined, told

    def take(self, known: SubMaster, changes: Changes) -> None:
        """``known`` reports: of itself, and of those that the master put below it; of no other."""
        came, submasters = apart(changes), self._submasters
        below = {
            name: submasters.known[name] for name in submasters.ways.directly_below(known.name)
        }
        for name in (name for name in below if name in came.children):
            self._stands(known, below[name], read(came.children[name], Standing))
        for name in (name for name in below if name in came.below):
            self.take(below[name], came.below[name])
        self._told(known, came.own)

    def _stands(self, above: SubMaster, known: SubMaster, told: Standing | None) -> None:
        told = told or Standing(attached=False, why=f"{above.name} does not know it")
        if told.key and (known.joined is None or told.epoch > known.joined):
            self._joined(known)
            self._submasters.passages.keep_join(known, told)
        permit = self._permits.open.get(peer_of(known.name))
        joined = known.joined
        if permit is not None and joined and (permit.term, permit.counter) <= joined:
            self._permits.end(peer_of(known.name))
            above.stale = True
        known.heard, known.address = told.attached, told.address or known.address
        why = told.why or (f"at {told.address}, below {above.name}" if told.attached else "")
        self._submasters.attach(known, told.attached and above.attached, why)
