"""Put files into the content-addressed blob directory of the state directory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from kedge.modules.boot.layer0.record import Blob

_PIECE_BYTES = 1 << 20


def put_file(state_dir: Path, source: Path) -> Blob:
    """Copy ``source`` into the blobs; appears under its digest at once or not at all."""
    folder = state_dir / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size_bytes = 0
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out, source.open("rb") as content:
            while piece := content.read(_PIECE_BYTES):
                digest.update(piece)
                out.write(piece)
                size_bytes += len(piece)
            out.flush()
            os.fsync(out.fileno())
        draft.chmod(0o444)
        draft.replace(folder / digest.hexdigest())
    finally:
        draft.unlink(missing_ok=True)
    return Blob(f"sha256:{digest.hexdigest()}", size_bytes)
