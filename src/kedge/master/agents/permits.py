"""Boot permits: leave for one boot of one node, with the epoch and the one-use token of that boot.

Epochs are (term, counter): the term counts the starts of this owner, the counter the permits within
it, so no epoch is ever issued twice. Permits outlive a restart; a token is kept only until its use.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from kedge.master.persistence.late_writes import LateWrites
from kedge.stores.port import Store

KIND = "permit"
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class BootPermit:
    """``given`` says whether the boot server has handed the script out, and ``blobs`` what that names."""

    node: str
    term: int
    counter: int
    token: bytes
    given: bool = False
    blobs: tuple[str, ...] = ()

    @property
    def epoch(self) -> str:
        """The epoch as it is written on the kernel command line."""
        return f"{self.term}.{self.counter}"

    def __repr__(self) -> str:
        return f"BootPermit({self.node!r}, {self.epoch}, given={self.given})"


class Permits:
    """All permits that are open now, at most one a node."""

    def __init__(self, writes: LateWrites, term: int, random_bytes: Callable[[int], bytes]) -> None:
        self._writes = writes
        self._random_bytes = random_bytes
        self._counter = 0
        self.tenure: Callable[[str], tuple[int, int]] = lambda _: (term, 0)
        """The term of the node's owner, and where its counter begins."""
        self.open: dict[str, BootPermit] = {
            node: BootPermit(
                node,
                record["term"],
                record["counter"],
                base64.b64decode(record["token"]),
                record["given"],
                tuple(record.get("blobs", ())),
            )
            for node, record in writes.records(KIND).items()
        }

    def grant(self, node: str) -> BootPermit:
        """A new permit in the place of any earlier one."""
        self._counter += 1
        term, begin = self.tenure(node)
        token = self._random_bytes(TOKEN_BYTES)
        return self._keep(BootPermit(node, term, begin + self._counter, token))

    def take(self, node: str, blobs: Collection[str] = ()) -> BootPermit | None:
        """The permit, if it was not given out yet; from now on it is, with a script that names ``blobs``."""
        permit = self.open.get(node)
        if permit is None or permit.given:
            return None
        return self._keep(replace(permit, given=True, blobs=tuple(blobs)))

    def promised(self) -> Iterator[str]:
        """The blobs that scripts name whose nodes have not come yet."""
        for permit in self.open.values():
            yield from permit.blobs

    def end(self, node: str) -> None:
        """Forget the node's permit: it was used, or its boot is over."""
        if self.open.pop(node, None) is not None:
            self._writes.put(KIND, node, None)

    def _keep(self, permit: BootPermit) -> BootPermit:
        record = {
            "term": permit.term,
            "counter": permit.counter,
            "token": base64.b64encode(permit.token).decode(),
            "given": permit.given,
            **({"blobs": list(permit.blobs)} if permit.blobs else {}),
        }
        self._writes.put_now(KIND, permit.node, record)
        self.open[permit.node] = permit
        return permit


def next_term(store: Store) -> int:
    """The term of this start: one more than any before."""
    term = int(store.records("owner").get("term", {"value": 0})["value"]) + 1
    store.put("owner", "term", {"value": term})
    return term
