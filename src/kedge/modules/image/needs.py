"""Say of every imported image who needs it: nodes, the site's files, releases, rollouts. Nothing else may go.

Where it cannot be told which image somebody means, every one that it could be counts as needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from kedge.core.kinds import Value
from kedge.lib.nodeset import fold
from kedge.modules.image.relation import digest_of, reference_of
from kedge.modules.image.store import ImageRecord
from kedge.modules.port import OPEN, ClaimKind, ImageClaim, Node

KINDS: tuple[ClaimKind, ...] = get_args(ClaimKind)


@dataclass(slots=True)
class Need:
    """Who needs one image: the nodes that want it and those that run it, and, by kind, names."""

    wanted: set[str] = field(default_factory=set[str])
    running: set[str] = field(default_factory=set[str])
    claimed: dict[ClaimKind, set[str]] = field(default_factory=dict[ClaimKind, set[str]])

    def __bool__(self) -> bool:
        return bool(self.wanted or self.running or self.claimed)

    def as_json(self) -> dict[str, Value]:
        """All of it, as the API shows it; nodes are folded."""
        found: dict[str, Value] = {"wanted": fold(self.wanted), "running": fold(self.running)}
        for kind in KINDS:
            found[kind] = [*sorted(self.claimed.get(kind, ()))]
        return found


def find_needs(
    records: Sequence[ImageRecord],
    pins: Mapping[str, str],
    nodes: Iterable[Node],
    claims: Iterable[ImageClaim],
) -> dict[str, Need]:
    """For each record's digest who needs it (an empty `Need`: nobody)."""
    needs = {record.digest: Need() for record in records}
    meant = _Meant(records, pins)
    for node in nodes:
        wanted, arch = node.configured("image.wanted"), str(node.configured("boot.arch") or "")
        refined = digest_of(wanted) if isinstance(wanted, dict) else ""
        for digest in {refined, *meant.by(reference_of(wanted), arch)} & needs.keys():
            needs[digest].wanted.add(node.name)
        for digest in {digest_of(node.seen("image.running"))} & needs.keys():
            needs[digest].running.add(node.name)
    for claim in claims:
        digests = {claim.digest} if claim.digest else meant.by(claim.reference, claim.arch)
        for digest in digests & needs.keys():
            needs[digest].claimed.setdefault(claim.kind, set()).add(claim.name)
    return needs


class _Meant:
    """What references stand for: what they are pinned to, or the digest that they name themselves.

    A reference that is pinned for no architecture stands for all that was ever imported by it.
    """

    def __init__(self, records: Sequence[ImageRecord], pins: Mapping[str, str]) -> None:
        self._pins: dict[str, dict[str, str]] = {}
        for name, digest in pins.items():
            reference, _, arch = name.rpartition(" ")
            self._pins.setdefault(reference, {})[arch] = digest
        self._imported: dict[str, dict[str, set[str]]] = {}
        for record in records:
            by_arch = self._imported.setdefault(record.reference, {})
            by_arch.setdefault(record.arch, set()).add(record.digest)
        self._known: dict[tuple[str, str], set[str]] = {}

    def by(self, reference: str, arch: str) -> set[str]:
        """The digests that ``reference`` stands for on ``arch`` (empty: on any)."""
        if not reference:
            return set()
        found = self._known.get((reference, arch))
        if found is None:
            found = self._known[reference, arch] = self._find(reference, arch)
        return found

    def _find(self, reference: str, arch: str) -> set[str]:
        if "{" in reference:
            parts = map(re.escape, OPEN.split(reference))
            like = re.compile(".+".join(parts))
            known = filter(like.fullmatch, self._pins.keys() | self._imported.keys())
            return set[str]().union(*(self.by(one, arch) for one in known))
        found = {reference.partition("@")[2]} - {""}
        pins, imported = self._pins.get(reference, {}), self._imported.get(reference, {})
        for one in [arch] if arch else pins.keys() | imported.keys():
            found |= {pins[one]} if one in pins else imported.get(one, set())
        return found
