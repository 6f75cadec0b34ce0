"""The verb ``image prune``: remove blobs from this head's disk that no record names.

Records stay, and so does everything that they name: whether a site, a release or a pin of a sub-master
still means an image cannot be known from here. So nothing that a node could want goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.modules.image.store import collect_blobs, read_records
from kedge.modules.port import Io


async def prune(io: Io, args: Mapping[str, Value], *, importing: bool) -> Value:
    """Remove loose blobs; with ``{"dry_run"}`` only say which. Raises `KedgeError`, also while an image is
    imported: it may be about to name blobs that were converted long ago."""
    dry_run = args.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise KedgeError(
            "image.prune", "dry_run is neither true nor false", where="image prune",
            next_step="Type: kedge image prune --dry-run",
        )  # fmt: skip
    if importing and not dry_run:
        raise KedgeError(
            "image.busy", "an image is imported, so no blob is removed", where="image prune",
            next_step="When it is done, type again: kedge image prune",
        )  # fmt: skip
    work = partial(collect_blobs, io.state_dir, now_s=time.time(), dry_run=dry_run)
    try:
        found = await asyncio.to_thread(work)
    except OSError as error:
        raise KedgeError(
            "image.prune", "a blob cannot be removed", where=str(error.filename or io.state_dir),
            why=error.strerror or str(error), next_step="Look at the state directory's owner and disk",
        ) from error  # fmt: skip
    if not dry_run and found.blobs:
        words = f"removed {len(found.blobs)} blobs that no record names, {found.size_bytes} bytes"
        io.event("", "image", "prune", words)
    return {
        "dry_run": dry_run,
        "blobs": list(found.blobs),
        "size_bytes": found.size_bytes,
        "images_kept": len(read_records(io.state_dir)),
    }
