"""What the agent remembers from layer0 to the running system and over a restart: small files in RAM.

They lie below ``/run/kedge/agent``, readable by root alone, and vanish with the boot.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, cast


class Keeping:
    """The directory of what is remembered. Every write is whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)

    def save(self, name: str, content: bytes) -> None:
        """Replace what is kept under ``name``."""
        draft = self.directory / f".{name}.new"
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        draft.replace(self.directory / name)

    def load(self, name: str) -> bytes | None:
        """What is kept under ``name``, or None."""
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def save_object(self, name: str, value: dict[str, Any]) -> None:
        """Keep an object as JSON."""
        self.save(name, json.dumps(value, sort_keys=True).encode())

    def load_object(self, name: str) -> dict[str, Any]:
        """The object kept under ``name``; empty when there is none or it is damaged."""
        try:
            value = json.loads(self.load(name) or b"{}")
        except ValueError:
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

    def forget(self, name: str) -> None:
        """Drop what is kept under ``name``."""
        (self.directory / name).unlink(missing_ok=True)
