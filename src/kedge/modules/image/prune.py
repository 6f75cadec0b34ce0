"""The verb ``image prune``: remove from this machine's disk what nobody needs, and say why the rest stays.

Blobs that no record names go; with ``unused`` also records of images that nobody needs, before them. Who
needs what is looked up and acted on in one piece, so nothing that is asked for meanwhile is missed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.modules.image.keeping import LEAST_AGE_S
from kedge.modules.image.needs import Need, find_needs
from kedge.modules.image.pins import read_pins, unpin
from kedge.modules.image.store import (
    Collected,
    ImageRecord,
    collect_blobs,
    named_blobs,
    read_records,
    record_age_s,
    record_name,
    remove_record,
)
from kedge.modules.port import Io

DEFAULT_AGE_S = 3600.0
MOST_AGE_S = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to remove: with ``unused`` images too (``images``: of these digests only, where any are given),
    and nothing that somebody had a use for within ``age_s``."""

    dry_run: bool = False
    unused: bool = False
    age_s: float = DEFAULT_AGE_S
    images: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, or would go, and what stays, with who needs it."""

    images: tuple[ImageRecord, ...]
    kept: tuple[tuple[ImageRecord, Need, str], ...]
    blobs: Collected

    def as_json(self, asked: Asked) -> dict[str, Value]:
        """As the API tells it."""
        kept = [
            {**_short(record), "needed_by": need.as_json(), "why": why}
            for record, need, why in self.kept
        ]
        return {
            "dry_run": asked.dry_run,
            "unused": asked.unused,
            "older_than_s": asked.age_s,
            "images": [_short(record) for record in self.images],
            "blobs": list(self.blobs.blobs),
            "size_bytes": self.blobs.size_bytes,
            "images_kept": len(self.kept),
            "kept": cast("list[Value]", kept),
        }


async def prune(io: Io, args: Mapping[str, Value]) -> Value:
    """The verb, as people ask for it (see `_asked`). Raises `KedgeError`."""
    asked = _asked(args)
    done = await remove_unneeded(io, asked)
    return done.as_json(asked)


async def remove_unneeded(io: Io, asked: Asked) -> Pruned:
    """Remove what nobody needs. Raises `KedgeError`: also where it cannot be known who needs what."""
    try:
        # First what records name, then what was promised: who is promised something later, is promised
        # what a record names by then.
        named = await asyncio.to_thread(named_blobs, io.state_dir)
        gone, kept = _sorted_out(io, asked)
        if not asked.dry_run:
            _forget(io, gone)
        without = {record_name(record.digest) for record in gone}
        used = {digest.removeprefix("sha256:") for digest in io.promised_blobs()}
        used = used.union(*(names for name, names in named.items() if name not in without))
        collect = partial(
            collect_blobs, io.state_dir, used, now_s=time.time(), min_age_s=asked.age_s,
            dry_run=asked.dry_run,
        )  # fmt: skip
        blobs = await asyncio.to_thread(collect)
    except OSError as error:
        raise KedgeError(
            "image.prune", "a blob or a record cannot be removed",
            where=str(error.filename or io.state_dir), why=error.strerror or str(error),
            next_step="Look at the state directory's owner and disk",
        ) from error  # fmt: skip
    if not asked.dry_run and blobs.blobs:
        words = f"removed {len(blobs.blobs)} blobs that nothing needs, {blobs.size_bytes} bytes"
        io.event("", "image", "prune", words)
    return Pruned(tuple(gone), tuple(kept), blobs)


Kept = tuple[ImageRecord, Need, str]


def _sorted_out(io: Io, asked: Asked) -> tuple[list[ImageRecord], list[Kept]]:
    """The records that go, and those that stay with who needs them and why they stay."""
    records, now_s = read_records(io.state_dir), time.time()
    needs = find_needs(records, read_pins(io.state_dir), io.nodes().values(), io.image_claims())
    gone: list[ImageRecord] = []
    kept: list[Kept] = []
    for record in records:
        need = needs[record.digest]
        why = _why_kept(need, asked, record_age_s(io.state_dir, record.digest, now_s), record)
        if why:
            kept.append((record, need, why))
        else:
            gone.append(record)
    return gone, kept


def _why_kept(need: Need, asked: Asked, age_s: float, record: ImageRecord) -> str:
    """Why an image stays; empty where it goes."""
    if need:
        return "needed"
    if not asked.unused:
        return "not asked for"
    if age_s < asked.age_s:
        return "imported lately"
    if asked.images is not None and record.digest not in asked.images:
        return "not agreed to"
    return ""


def _forget(io: Io, gone: Sequence[ImageRecord]) -> None:
    """Remove records, their pins first, so that no pin ever names what is not there."""
    digests = {record.digest for record in gone}
    if digests:
        unpin(io.state_dir, digests)
    for record in gone:
        remove_record(io.state_dir, record.digest)
        io.event("", "image", record.reference, f"removed {record.digest}: nothing needs it")


def _short(record: ImageRecord) -> dict[str, Value]:
    return {
        "reference": record.reference,
        "arch": record.arch,
        "digest": record.digest,
        "size_bytes": record.size_bytes,
        "created": record.created,
    }


def _asked(args: Mapping[str, Value]) -> Asked:
    """``{"dry_run", "unused": bool, "older_than_s": number, "images": [digest, ...]}``, all optional;
    ``images`` are those that a person agreed to."""
    dry_run, unused = args.get("dry_run", False), args.get("unused", False)
    age_s, images = args.get("older_than_s", DEFAULT_AGE_S), args.get("images")
    if not (isinstance(dry_run, bool) and isinstance(unused, bool)):
        raise _refused("dry_run or unused is neither true nor false")
    if not isinstance(age_s, int | float) or isinstance(age_s, bool):
        raise _refused("older_than_s is no number of seconds")
    if not LEAST_AGE_S <= age_s <= MOST_AGE_S:
        raise _refused(f"older_than_s is not from {LEAST_AGE_S:g} to {MOST_AGE_S:g}")
    if images is not None and not _texts(images):
        raise _refused("images is no list of digests")
    agreed = frozenset(map(str, cast("Collection[Value]", images))) if images is not None else None
    return Asked(dry_run, unused, float(age_s), agreed)


def _texts(value: Value) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _refused(what: str) -> KedgeError:
    return KedgeError(
        "image.prune", what, where="image prune",
        next_step="Type: kedge image prune --unused --dry-run",
    )  # fmt: skip
