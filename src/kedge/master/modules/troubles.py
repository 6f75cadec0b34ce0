"""What modules do wrong: said once in the log, and shown as degraded until it has been calm for a while."""

from __future__ import annotations

import asyncio

from kedge.master.persistence.journal import Journal

CALM_S = 600.0
MOST_WORDS = 500


class Troubles:
    """The ledger. ``failing`` is what ``kedge status`` shows as degraded."""

    def __init__(self, journal: Journal, failing: dict[str, str]) -> None:
        self._journal = journal
        self._failing = failing
        self._known: dict[str, dict[str, str]] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def note(self, module: str, sort: str, what: str, node: str = "") -> None:
        """A module did something wrong (``sort``: raised, hangs, floods, lies, blocks)."""
        if not module:
            return
        what = what[:MOST_WORDS]
        known = self._known.setdefault(module, {})
        if sort not in known:
            self._journal.write(node, "module", module, after=sort, cause=what)
        known[sort] = f"{what} ({node})" if node else what
        self._show(module)
        timer = self._timers.pop((module, sort), None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[module, sort] = loop.call_later(CALM_S, self._calm, module, sort)

    def of(self, module: str) -> str:
        """What is wrong with a module now, in words; empty where nothing is."""
        return "; ".join(f"{sort}: {what}" for sort, what in self._known.get(module, {}).items())

    def forget(self, module: str) -> None:
        """The module is another one now."""
        for sort in list(self._known.get(module, {})):
            self._calm(module, sort)

    def _calm(self, module: str, sort: str) -> None:
        timer = self._timers.pop((module, sort), None)
        if timer is not None:
            timer.cancel()
        known = self._known.get(module, {})
        known.pop(sort, None)
        if not known:
            self._known.pop(module, None)
        self._show(module)

    def _show(self, module: str) -> None:
        words = self.of(module)
        if words:
            self._failing[f"module {module}"] = words
        else:
            self._failing.pop(f"module {module}", None)

    def close(self) -> None:
        """Wait for nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
