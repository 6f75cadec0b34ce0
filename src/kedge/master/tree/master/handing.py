"""At the master: images that sub-masters wish for, and boot environments, handed down as records.

A wish is imported once, whoever wishes, and its record goes to all who wished. What fails is answered, with
the number of the wish, so that the node's step fails with the reason and the next wish is a new try.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from kedge.lib.errors import NotNow
from kedge.master.modules.io import MasterIo
from kedge.master.process.supervisor import Supervisor, outcome
from kedge.master.tree.entries import IMAGE, LAYER0, pack, unpack
from kedge.master.tree.master.delegation import Delegation
from kedge.master.tree.master.known import SubMaster
from kedge.modules.image.module import imported
from kedge.modules.image.pins import pinned, read_pins
from kedge.modules.image.relation import reference_of
from kedge.modules.image.store import ImageRecord, find_record, missing_blobs

LOOK_S = 1.0
LOOK_AGAIN_S = 60.0
"""How often the disk is looked through although nothing seems to have changed on it."""


class Handing:
    """Looks at the wishes, and at what was made."""

    def __init__(self, delegation: Delegation, io: MasterIo, supervisor: Supervisor) -> None:
        self._tree, self._io, self._supervisor = delegation, io, supervisor
        self._importing: dict[str, asyncio.Task[None]] = {}
        self._errors: dict[str, dict[str, object]] = {}
        self._looked: object = None

    async def keep(self) -> None:
        """Hand down what there is, for as long as it is not cancelled."""
        try:
            again_in_s = 0.0
            while True:
                like = self._like()
                if like != self._looked or again_in_s <= 0:
                    self._look()
                    self._looked, again_in_s = like, LOOK_AGAIN_S
                await asyncio.sleep(LOOK_S)
                again_in_s -= LOOK_S
        finally:
            for task in self._importing.values():
                task.cancel()

    def _like(self) -> object:
        """Equal as long as nobody wishes for something else and the disk holds what it did."""
        wishes = [(known, dict(known.wishes)) for known in self._tree.submasters.known.values()]
        if not wishes:
            return None
        places = (self._io.state_dir / name for name in ("layer0", "images", "pins.json"))
        return wishes, dict(self._errors), list(self._importing), [*map(_changed_at, places)]

    def _look(self) -> None:
        """Hand every sub-master what it, or one below it, wishes for and is there."""
        every = self._tree.submasters.known.values()
        layer0 = self._layer0() if every else {}
        images = {known.name: self._images(known) for known in every}
        ways = self._tree.submasters.ways
        for known in every:
            below = [images[name] for name in ways.all_below(known.name)]
            theirs = {
                n: raw for each in below for n, raw in each.items() if "record" in unpack(raw)
            }
            handed = {**layer0, **theirs, **images[known.name]}
            known.stale = known.stale or handed != known.handed
            known.handed = handed

    def _layer0(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in sorted((self._io.state_dir / "layer0").glob("*.json")):
            try:
                found[LAYER0 + path.stem] = pack({"record": json.loads(path.read_text())})
            except (OSError, ValueError):
                continue  # it is being written
        return found

    def _images(self, known: SubMaster) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for subject, wish in known.wishes.items():
            reference, _, arch = subject.rpartition(" ")
            record = self._held(reference, arch)
            if record is not None:
                known.answered.pop(subject, None)
                found[IMAGE + subject] = pack({"record": record.as_json()})
            elif subject in self._errors and known.answered.get(subject, wish) == wish:
                known.answered[subject] = wish
                found[IMAGE + subject] = pack({**self._errors[subject], "wish": wish})
            elif subject not in self._importing and self._is_wanted(reference, arch):
                self._errors.pop(subject, None)
                known.answered.pop(subject, None)
                self._importing[subject] = asyncio.create_task(self._bring(reference, arch))
        return found

    def _is_wanted(self, reference: str, arch: str) -> bool:
        """Whether any node wants it: a wish may be older than the site, and its image was removed."""
        return any(
            reference_of(node.configured("image.wanted")) == reference
            and node.configured("boot.arch") == arch
            for node in self._io.nodes().values()
        )

    def _held(self, reference: str, arch: str) -> ImageRecord | None:
        state_dir = self._io.state_dir
        digest = pinned(read_pins(state_dir), reference, arch)
        record = find_record(state_dir, digest) if digest else None
        return record if record is not None and not missing_blobs(state_dir, record) else None

    async def _bring(self, reference: str, arch: str) -> None:
        subject = f"{reference} {arch}"

        async def work() -> None:
            await imported(reference, arch, self._io)

        error = await outcome(work)
        if error is not None:
            self._errors[subject] = {"error": str(error), "later": isinstance(error, NotNow)}
            self._io.event("", "image", reference, f"a sub-master wishes for it: {error}")
        del self._importing[subject]


def _changed_at(path: Path) -> int:
    """When a file was replaced, or something in a folder was, in nanoseconds."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
