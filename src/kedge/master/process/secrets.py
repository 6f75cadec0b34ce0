"""Named secrets: from the environment, or from a file that only its owner can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import yaml

from kedge.lib.errors import KedgeError


class Secrets:
    """Secrets by name, each a mapping of text to text, read again whenever the file changes."""

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._path = path
        self._environment = environment
        self._stamp = (-1, -1)
        self._secrets: dict[str, dict[str, str]] = {}

    def named(self, name: str) -> Mapping[str, str]:
        """The secret ``name``; ``KEDGE_SECRET_<NAME>_<KEY>`` in the environment goes first."""
        prefix = f"KEDGE_SECRET_{name.upper().replace('-', '_')}_"
        given = {
            key.removeprefix(prefix).lower(): value
            for key, value in self._environment.items()
            if key.startswith(prefix)
        }
        if given:
            return given
        self._read()
        if name not in self._secrets:
            raise KedgeError(
                "secret.missing",
                f"there is no secret named {name!r}",
                where=str(self._path),
                next_step=f"Set it with: kedge secret set {name}",
            )
        return self._secrets[name]

    def _read(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._secrets = {}
            return
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise KedgeError(
                "secret.readable",
                "the secrets file can be read by others",
                where=str(self._path),
                next_step=f"chmod 600 {self._path}",
            )
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._secrets = parse_secrets(self._path.read_text(), str(self._path))
            self._stamp = stamp


def parse_secrets(text: str, where: str) -> dict[str, dict[str, str]]:
    """A mapping of names to mappings of texts; an error never repeats what the file says."""
    try:
        written: object = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise KedgeError("secret.syntax", "is not valid YAML", where=where + line) from None
    if isinstance(written, dict):
        entries = cast("dict[object, object]", written)
        if all(isinstance(entry, dict) for entry in entries.values()):
            return {
                str(name): {
                    str(key): str(value)
                    for key, value in cast("dict[object, object]", entry).items()
                }
                for name, entry in entries.items()
            }
    raise KedgeError(
        "secret.syntax",
        "secrets must be names with keys below them",
        where=where,
        next_step="Write it like: bmc: {username: admin, password: ...}",
    )
