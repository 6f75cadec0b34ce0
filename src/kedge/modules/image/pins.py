"""Pins: which digest a reference stood for when it was last imported, per architecture.

``<state>/pins.json`` maps ``"<reference> <arch>"`` to a manifest digest. A tag that moves in the
registry moves no node until somebody imports it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from kedge.lib.errors import KedgeError


def read_pins(state_dir: Path) -> dict[str, str]:
    """All pins; empty where nothing was imported yet."""
    path = state_dir / "pins.json"
    try:
        pins: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise KedgeError(
            "image.pins_damaged", "what tags were pinned to cannot be read", where=str(path),
            why=str(error), next_step="Take it from a backup, or delete it and import the images anew",
        ) from None  # fmt: skip
    return pins


def pinned(pins: Mapping[str, str], reference: str, arch: str) -> str:
    """The digest that nodes of ``arch`` which want ``reference`` run; empty when not imported."""
    return pins.get(f"{reference} {arch}", "")


def pin(state_dir: Path, reference: str, arch: str, digest: str) -> None:
    """Record that ``reference`` now means ``digest``, durably and in one step."""
    _write(state_dir, {**read_pins(state_dir), f"{reference} {arch}": digest})


def unpin(state_dir: Path, digests: Collection[str]) -> None:
    """Forget all pins to these digests, durably and in one step."""
    pins = read_pins(state_dir)
    kept = {name: digest for name, digest in pins.items() if digest not in digests}
    if kept != pins:
        _write(state_dir, kept)


def _write(state_dir: Path, pins: Mapping[str, str]) -> None:
    target = state_dir / "pins.json"
    draft = target.with_suffix(".new")
    with draft.open("w") as file:
        json.dump(pins, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
