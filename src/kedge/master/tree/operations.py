"""What people may ask of the tree: at the master, and at a sub-master."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kedge.core.lease import MASTER
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.tree.master.delegation import Delegation
from kedge.master.tree.master.hosting import join_of
from kedge.master.tree.submaster.branch import Branch
from kedge.master.tree.submaster.uplink import Uplink

Json = dict[str, Any]


class AtMaster:
    """The tree as the master sees it."""

    def __init__(
        self,
        delegation: Delegation,
        address: Callable[[], str],
        versions: Callable[[], dict[str, str]],
    ) -> None:
        """``address`` says where sub-masters find this master; it may raise `KedgeError`. ``versions`` are
        those of the master's modules."""
        self._tree, self._address, self._versions = delegation, address, versions

    def about(self) -> Json:
        """Which sub-masters are silent, which groups nobody acts on, which shares cannot be written."""
        tree = self._tree
        degraded: dict[str, str] = {}
        for name, known in tree.submasters.known.items():
            if not known.attached:
                degraded[f"sub-master {name}"] = tree.submasters.silence(name)
            differing = self._differing(known.health.get("modules"))
            if differing:
                degraded[f"sub-master {name}: modules"] = differing
            for what, why in known.health.get("degraded", {}).items():
                degraded[f"sub-master {name}: {what}"] = why
        for group, why in tree.submasters.without_owner().items():
            degraded[f"group {group}"] = why
        degraded.update(tree.shares.ledger.failing)
        return {"role": "master", "name": MASTER, "degraded": degraded}

    def _differing(self, told: Mapping[str, str] | None) -> str:
        """Where a sub-master's modules are others than ours (None: it does not say)."""
        ours = self._versions()
        theirs = ours if told is None else told
        words = [
            f"{name} {theirs.get(name, 'missing')} there, {ours.get(name, 'missing')} here"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]
        return f"{'; '.join(words)}: install the same, then kedge module reload" if words else ""

    def owner(self, group: str) -> str:
        """The owner, or who will be it."""
        return self._tree.ownership.elsewhere_of(group)

    def row(self, node: str) -> Json:
        """What its owner told last; where that one is silent, the reason says so."""
        group = self._tree.ownership.group_of(node)
        owner = self._tree.ownership.elsewhere_of(group)
        view = self._tree.relayed.views.get(node)
        if not owner:
            return {}
        if view is None:
            return {"why": f"for {owner}, which acts on the node and has not spoken of it"}
        row: Json = {**view.row, "owner": owner}
        unheard = self._tree.shown.unheard(node)
        known = self._tree.submasters.known.get(owner)
        if known is not None and not known.attached:
            silent = self._tree.submasters.silence(owner)
            silent += ", and nobody hears the node's agent" if unheard else ""
            row["why"] = f"{silent}; told before: {row['why']}"
            row["next"] = "kedge submaster list"
        elif unheard:
            row["why"] = f"{row['why']}; {unheard}"
            row["next"] = row.get("next") or "kedge submaster list"
        return row

    def shown(self, node: str) -> Json:
        """The same for people: of a node whose owner is silent nobody knows that it is well, so it waits for
        that one."""
        row = self.row(node)
        owner = self._tree.submasters.known.get(str(row.get("owner", "")))
        if owner is not None and not owner.attached and row.get("phase") in ("converged", "moving"):
            row |= {"phase": "waiting", "since": owner.since}
        return row

    def path(self, node: str) -> Json | None:
        """The path that the owner told."""
        if not self._tree.ownership.elsewhere_of(self._tree.ownership.group_of(node)):
            return None
        view = self._tree.relayed.views.get(node)
        return view.path if view is not None else None

    def pass_on(self, names: list[str], what: str, by: str, goals: Mapping[str, str]) -> list[str]:
        """To sub-masters, as entries that outlive loss and restarts."""
        return self._tree.asks.ask(names, what, by, goals)

    def list(self) -> list[Json]:
        """One row a sub-master."""
        return self._tree.submasters.rows()

    def add(self, name: str, below: str | None = None) -> Json:
        """The contents of the join file."""
        told = self._tree.submasters.add(name, below=below)
        return join_of(told, self._tree.submasters.passages.masters(name, self._masters()))

    def remove(self, name: str) -> Json:
        """Forget one."""
        self._tree.submasters.remove(name)
        self._tree.shares.forget(name)
        return {"name": name}

    def _masters(self) -> list[str]:
        try:
            return [self._address()]
        except KedgeError:
            return []  # there is no site yet; the sub-master's configuration must say it


class AtSubMaster:
    """The tree as a sub-master sees it."""

    def __init__(self, branch: Branch, uplink: Uplink) -> None:
        self._branch, self._uplink = branch, uplink

    def about(self) -> Json:
        """Whether a master is to be had, and what is held without one."""
        degraded: dict[str, str] = {}
        if not self._uplink.parent:
            refused = f" (refused: {self._uplink.refused})" if self._uplink.refused else ""
            degraded["master"] = (
                f"no master answers{refused}; this sub-master goes on with what it has"
            )
        if self._branch.unleased:
            groups = ", ".join(self._branch.unleased)
            degraded["lease"] = f"destructive steps are held for group {groups}"
        degraded.update(self._branch.below.degraded)
        return {"role": "sub-master", "name": self._branch.name, "degraded": degraded}

    def owner(self, group: str) -> str:
        """Empty for groups that are this sub-master's own."""
        return "" if group in self._branch.tenure.owned else "another parent"

    def row(self, node: str) -> Json:
        """Nobody tells a sub-master of nodes that are not its own."""
        return {}

    shown = row

    def path(self, node: str) -> Json | None:
        """As for `row`."""
        return None

    def pass_on(self, names: list[str], what: str, by: str, goals: Mapping[str, str]) -> list[str]:
        """Only for nodes that are this sub-master's own."""
        branch = self._branch
        foreign = [name for name in names if branch.foreign(name)]
        if foreign:
            raise KedgeError(
                "submaster.not_owner", f"{branch.name} does not act on {fold(foreign)} now",
                next_step="Type it at the master",
            )  # fmt: skip
        return names

    def list(self) -> list[Json]:
        """Sub-masters are the master's to know."""
        raise at_master()

    def add(self, name: str, below: str | None = None) -> Json:
        """Only at the master."""
        raise at_master()

    def remove(self, name: str) -> Json:
        """Only at the master."""
        raise at_master()


def at_master() -> KedgeError:
    """What is refused at a sub-master."""
    return KedgeError(
        "submaster.at_master", "this is a sub-master; what should be is decided at the master",
        next_step="Type it there",
    )  # fmt: skip
