"""The site's files on this host: written before the hand-over, and changed live in a running system.

A file that leaves the list gives place to what the image had at its path.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from kedge.agent import placing
from kedge.agent.place import Place
from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile, files_digest, parse_host_files

ENTRY = "files"
_KEPT = "files.json"


def parse(record: Mapping[str, bytes]) -> tuple[HostFile, ...]:
    """The checked list out of the configured record; raises `KedgeError`."""
    try:
        raw = json.loads(record.get(ENTRY, b"[]"))
    except ValueError:
        raise KedgeError("files.refused", "the list of host files is not JSON") from None
    return parse_host_files(raw)


def apply(place: Place, files: tuple[HostFile, ...]) -> str:
    """Make the image's root hold exactly these files of ours; returns the list's digest.

    Raises `KedgeError`; what was written until then stays, and the next attempt goes on.
    """
    root = place.image_root
    replaced = place.keeping.load_object(_KEPT)
    listed = {file.path for file in files}
    for path in sorted(replaced.keys() - listed):
        original = _from_object(path, replaced[path])
        if original is None:
            placing.remove(root, path)
        else:
            placing.place(root, original)
        del replaced[path]
    for file in files:
        if file.path not in replaced:
            replaced[file.path] = _to_object(placing.read(root, file.path))
    place.keeping.save_object(_KEPT, replaced)
    for file in files:
        try:
            placing.place(root, file)
        except OSError as problem:
            raise KedgeError(
                "files.unwritable", "a host file cannot be written", where=file.path,
                why=problem.strerror or str(problem),
            ) from None  # fmt: skip
    return files_digest(files)


def _to_object(file: HostFile | None) -> dict[str, Any] | None:
    if file is None:
        return None
    content = base64.b64encode(file.content).decode()
    return {"content": content, "mode": file.mode, "uid": file.uid, "gid": file.gid}


def _from_object(path: str, fields: dict[str, Any] | None) -> HostFile | None:
    if fields is None:
        return None
    content = base64.b64decode(fields["content"])
    return HostFile(path, content, fields["mode"], fields["uid"], fields["gid"])
