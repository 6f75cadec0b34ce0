"""All nodes: plain ones folded into cells and columns, particular ones as records.

Whoever needs a node's record *opens* it; when the event is over, all that was opened and is plain is
folded again. Cells are never changed; those that no node is in are swept once they are many.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterator

import numpy as np
from numpy.typing import NDArray

from kedge.core.engine.cell import Cell, cell_of, folds
from kedge.core.engine.columns import APART, Columns, Rows
from kedge.core.engine.record import Episode, Record, Running
from kedge.core.engine.settings import Settings

BUCKETS = 64
"""Into so many parts the nodes are divided, so that they are not all polled at once."""

CELLS_KEPT = 50_000
"""Cells are swept when there are more than this and twice those in use."""


class Nodes:
    """The nodes by name and by row. ``prefix`` begins every step's id."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self.columns = Columns()
        self.cells: list[Cell] = []
        self.names: list[str] = []
        self.fingerprints: list[str] = []
        self.rows: dict[str, int] = {}
        self.sweeps = 0
        self._settings = settings
        self.prefix = prefix
        self._numbers: dict[Hashable, int] = {}
        self._apart: dict[int, Record] = {}
        self._opened: dict[int, None] = {}
        self._free: list[int] = []
        self._sweep_at = CELLS_KEPT

    def __len__(self) -> int:
        return len(self.rows)

    # --- coming and going ----------------------------------------------------------------------

    def add(self, record: Record) -> int:
        """A new node; it is open. Returns its row."""
        row = self._free.pop() if self._free else len(self.names)
        if row == len(self.names):
            self.names.append(record.name)
            self.fingerprints.append("")
            if row == self.columns.rows:
                self.columns.grow()
        self.names[row] = record.name
        self.fingerprints[row] = ""
        self.rows[record.name] = row
        self._apart[row] = record
        self._opened[row] = None
        self.columns.cell[row] = APART
        self.columns.alive[row] = True
        self.columns.bucket[row] = zlib.crc32(record.name.encode()) % BUCKETS
        return row

    def remove(self, name: str) -> None:
        """The node is gone; it must be open."""
        row = self.rows.pop(name)
        del self._apart[row]
        self._opened.pop(row, None)
        self.columns.cell[row] = APART
        self.columns.alive[row] = self.columns.differs[row] = False
        self._free.append(row)

    # --- opening and folding -------------------------------------------------------------------

    def get(self, name: str, now: float) -> Record | None:
        """Open a node by name."""
        row = self.rows.get(name)
        return None if row is None else self.open(row, now)

    def open(self, row: int, now: float) -> Record:
        """Open a node: its record, until `fold`."""
        self._opened[row] = None
        record = self._apart.get(row)
        if record is None:
            record = self._apart[row] = self.look(row, now)
            self.columns.cell[row] = APART
        return record

    def look(self, row: int, now: float) -> Record:
        """A node's record to look at: that of a plain node is a copy."""
        record = self._apart.get(row)
        return record if record is not None else self._unfold(row, now)

    def apart(self) -> Iterator[Record]:
        """The records of the nodes that are not plain."""
        return iter(self._apart.values())

    def is_apart(self, row: int) -> bool:
        """Whether the node is not plain, or open."""
        return row in self._apart

    def fold(self, now: float) -> None:
        """Fold all that is open and plain."""
        opened, self._opened = self._opened, {}
        for row in opened:
            if row in self._apart:
                self.fold_row(row, now)
        if len(self.cells) > self._sweep_at:
            self._sweep()

    def fold_row(self, row: int, now: float) -> int:
        """Fold one node; returns its cell, or `APART`."""
        record = self._apart[row]
        full = float(self._settings.surprises)
        refilled = (now - record.refilled_at) / self._settings.surprise_refill_s
        self.columns.differs[row] = any(record.state[v] != x for v, x in record.goals)
        if record.surprises + refilled < full or not folds(record):
            return APART
        cell = cell_of(record)
        key = cell.key
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.cells)
            self.cells.append(cell)
            self.columns.widen(cell.slots)
        self._write(row, record, number)
        del self._apart[row]
        self._opened.pop(row, None)
        return number

    def _write(self, row: int, record: Record, number: int) -> None:
        columns = self.columns
        columns.cell[row] = number
        columns.since[row] = record.since
        columns.configured_at[row] = record.configured_at
        columns.serials[row] = 0
        slot = 0
        if record.episode is not None:
            columns.episode_since[row] = record.episode.since
            for running in record.episode.running:
                columns.stamps[row, slot] = running.since
                columns.serials[row, slot] = running.serial
                slot += 1
        for deadline in (record.asking or {}).values():
            columns.stamps[row, slot] = deadline
            slot += 1

    def _unfold(self, row: int, now: float) -> Record:
        columns, cell = self.columns, self.cells[int(self.columns.cell[row])]
        errand, stamps = cell.errand, columns.stamps[row].tolist()
        episode = None
        if errand is not None:
            serials = columns.serials[row].tolist()
            running = [
                Running(
                    action,
                    f"{self.prefix}{serials[slot]}",
                    serials[slot],
                    stamps[slot],
                    start,
                    place,
                )
                for slot, (action, place, start) in enumerate(errand.running)
            ]
            episode = Episode(
                float(columns.episode_since[row]), errand.costs, errand.plan, errand.done, running,
                waits=errand.waits, waits_next=errand.waits_next, shown_plan=errand.shown_plan,
                planned_for=errand.planned_for, new_goals=errand.new_goals,
                starts=dict(errand.starts),
            )  # fmt: skip
        first = len(cell.running)
        asking = {number: stamps[first + i] for i, number in enumerate(cell.asking)}
        return Record(
            self.names[row], cell.seen, cell.state, cell.goals, cell.group, cell.hardware_class,
            cell.limits, cell.spans, cell.hold, cell.elsewhere, cell.phase,
            float(columns.since[row]), cell.why, cell.next_step, episode, asking=asking or None,
            surprises=float(self._settings.surprises), refilled_at=now, pardoned=cell.pardoned,
            configured_at=float(columns.configured_at[row]),
        )  # fmt: skip

    # --- many ----------------------------------------------------------------------------------

    def differing(self) -> list[str]:
        """The nodes whose discovered state is not the configured one."""
        return [self.names[row] for row in _numbers(self.columns.differs)]

    def in_bucket(self, bucket: int) -> Rows:
        """The rows of one part of the nodes."""
        columns = self.columns
        return np.flatnonzero((columns.bucket == bucket) & columns.alive).astype(np.int32)

    # --- another graph -------------------------------------------------------------------------

    def take_apart(self, now: float, which: Callable[[Cell], bool]) -> None:
        """Open all nodes of the cells for which it is true."""
        column = self.columns.cell
        for number in map(int, np.unique(column[column >= 0])):
            if which(self.cells[number]):
                for row in np.flatnonzero(column == number).tolist():
                    self.open(row, now)

    def translate(self, over: Callable[[Cell], Cell]) -> None:
        """Put another cell with the same slots in the place of each; nodes stay where they are."""
        self._sweep()
        numbers: dict[Hashable, int] = {}
        renumbered = np.full(len(self.cells) + 1, APART, np.int32)
        cells: list[Cell] = []
        for number, old in enumerate(self.cells):
            cell = over(old)
            found = numbers.setdefault(cell.key, len(cells))
            if found == len(cells):
                cells.append(cell)
            renumbered[number] = found
        self.cells, self._numbers = cells, numbers
        self.columns.cell = renumbered[self.columns.cell]
        differs = np.array([*(cell.differs for cell in cells), False], np.bool_)
        plain = self.columns.cell != APART
        self.columns.differs[plain] = differs[self.columns.cell[plain]]

    def _sweep(self) -> None:
        """Forget the cells that no node is in."""
        column = self.columns.cell
        used = np.unique(column[column >= 0])
        renumbered = np.full(len(self.cells) + 1, APART, np.int32)  # the last is for APART itself
        renumbered[used] = np.arange(len(used), dtype=np.int32)
        self.cells = [self.cells[int(number)] for number in used]
        self._numbers = {cell.key: number for number, cell in enumerate(self.cells)}
        self.columns.cell = renumbered[column]
        self.sweeps += 1
        self._sweep_at = max(CELLS_KEPT, 2 * len(self.cells))


def _numbers(which: NDArray[np.bool_]) -> list[int]:
    """The rows for which it is true."""
    return [int(row) for row in np.flatnonzero(which)]
