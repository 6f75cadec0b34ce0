"""What the master shows of nodes that others act on, as far as it rests on what somebody told before."""

from __future__ import annotations

from kedge.master.engine.head import Head
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.relayed import Relayed
from kedge.master.tree.master.submasters import SubMasters


class Shown:
    """Asks what was relayed, and who is there."""

    def __init__(
        self, head: Head, ownership: Ownership, submasters: SubMasters, relayed: Relayed
    ) -> None:
        self._head, self._ownership = head, ownership
        self._submasters, self._relayed = submasters, relayed

    def hides(self, node: str) -> bool:
        """Whether a node is taken to be in service though no parent that is there hears its agent."""
        there = self._submasters.there
        best = self._relayed.best(node, there)
        heard = best is not None and best[1].attached and there(best[0])
        return not heard and self._head.engine.in_service(node)

    def unheard(self, node: str) -> str:
        """That what is shown of a node is what a parent told that is silent now; empty: it is heard."""
        best = self._relayed.best(node, self._submasters.there)
        if best is None or not best[1].attached or self._submasters.there(best[0]):
            return ""
        return f"as {best[0]} told, which is silent: nobody hears its agent now"

    def stuck(self, node: str) -> str:
        """Why a node waits for a person, if it does."""
        if not self._ownership.elsewhere_of(self._ownership.group_of(node)):
            why = self._head.engine.quarantined(node)
        else:
            view = self._relayed.views.get(node)
            row = view.row if view is not None else {}
            why = str(row.get("why", "")) if row.get("phase") == "quarantined" else ""
        return f"{node} is quarantined: {why}" if why else ""
