"""The host files of a node: what an entry of the list must look like, and the list's digest.

The head renders the list and sends it down; the agent checks it, writes it and reports the digest
of what it wrote as ``files.running``. Both ends compute the digest with `files_digest`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
from collections.abc import Iterable
from typing import NamedTuple, cast

from kedge.lib.errors import KedgeError

_FORBIDDEN_TOPS = frozenset({"proc", "sys", "dev"})
_ID_LIMIT = 2**32 - 1


class HostFile(NamedTuple):
    """One file to be written on a node. ``mode`` holds permission bits only."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def parse_host_files(raw: object) -> tuple[HostFile, ...]:
    """Check the decoded ``files`` entry (a list of objects) and return it sorted by path.

    A mode may be an integer or a text of octal digits ("0600"). Raises `KedgeError`.
    """
    if not isinstance(raw, list):
        raise _refused("", "the list of host files is not a list")
    files = [_parse_one(item) for item in cast("list[object]", raw)]
    files.sort(key=lambda file: file.path)
    for before, after in itertools.pairwise(files):
        if before.path == after.path:
            raise _refused(after.path, "the path is listed twice")
    return tuple(files)


def files_digest(files: Iterable[HostFile]) -> str:
    """``sha256:<hex>`` of the list in its canonical form (sorted by path, compact JSON)."""
    rows = [
        {
            "path": file.path,
            "mode": file.mode,
            "uid": file.uid,
            "gid": file.gid,
            "content": base64.b64encode(file.content).decode(),
        }
        for file in sorted(files, key=lambda file: file.path)
    ]
    canonical = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _parse_one(item: object) -> HostFile:
    if not isinstance(item, dict):
        raise _refused("", "an entry is not an object")
    fields = cast("dict[str, object]", item)
    path = _path(fields.get("path"))
    content = fields.get("content")
    if not isinstance(content, str):
        raise _refused(path, "'content' is missing or is no text")
    try:
        decoded = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise _refused(path, "'content' is not base64") from None
    uid, gid = (_identity(path, fields, name) for name in ("uid", "gid"))
    return HostFile(path, decoded, _mode(path, fields.get("mode", 0o644)), uid, gid)


def _path(raw: object) -> str:
    if not isinstance(raw, str) or not raw.startswith("/"):
        raise _refused(str(raw), "the path is not absolute")
    parts = raw[1:].split("/")
    if "\0" in raw or any(part in ("", ".", "..") for part in parts) or len(raw) > 4000:
        raise _refused(raw, "the path is not in its plain form (no '..', '.', '//' or final '/')")
    if parts[0] in _FORBIDDEN_TOPS:
        raise _refused(raw, f"/{parts[0]} belongs to the kernel")
    return raw


def _mode(path: str, raw: object) -> int:
    if isinstance(raw, str):
        try:
            raw = int(raw, 8)
        except ValueError:
            raw = -1
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw <= 0o7777:
        raise _refused(path, "'mode' is not between 0000 and 7777 (octal)")
    return raw


def _identity(path: str, fields: dict[str, object], name: str) -> int:
    raw = fields.get(name, 0)
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw < _ID_LIMIT:
        raise _refused(path, f"'{name}' is not a number from 0 to {_ID_LIMIT - 1}")
    return raw


def _refused(path: str, why: str) -> KedgeError:
    return KedgeError(
        "files.refused",
        "a host file is refused",
        where=path,
        why=why,
        next_step="Correct it in the site's folder and type: kedge apply",
    )
