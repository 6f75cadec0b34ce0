"""The ledger of shares in the store: the most that each owner may be using of each pool.

It is written before anything is told. While it cannot be, nothing new is told, which is said once in the
log and shown as degraded until it is written again.
"""

from __future__ import annotations

from collections.abc import Mapping

from kedge.lib.errors import KedgeError
from kedge.master.persistence.journal import Journal
from kedge.stores.port import Store

KIND = "share"
WORDS = "shares of budgets"
"""Under which name it is told as degraded."""


class Ledger:
    """What is written, and why something is not."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal
        self.written = store.records(KIND)
        """For each pool, by owner: how much, and how much of it without a lease."""
        self._late: set[str] = set()
        self._why = ""

    @property
    def failing(self) -> dict[str, str]:
        """What is degraded, and why; empty where all is written."""
        if not self._late:
            return {}
        pools = ", ".join(sorted(self._late))
        return {WORDS: f"stay as they are ({pools}): {self._why}"}

    def write(self, pool: str, bounds: Mapping[str, tuple[int, int]]) -> bool:
        """Write the bounds of a pool; False where that is to be tried again."""
        record = {owner: list(each) for owner, each in bounds.items()}
        if self.written.get(pool, {}) != record:
            try:
                self._store.put(KIND, pool, record or None)
            except KedgeError as error:
                if not self._late:
                    self._journal.write("", "shares", pool, after="not written", cause=str(error))
                self._late.add(pool)
                self._why = str(error)
                return False
            self.written[pool] = record
        if pool in self._late:
            self._late.discard(pool)
            if not self._late:
                self._journal.write(
                    "", "shares", pool, after="written", cause="there is room again"
                )
        return True
