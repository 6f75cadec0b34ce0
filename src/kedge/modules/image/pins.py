"""Pins: which digest a reference stood for when it was last imported, per architecture.

``<state>/pins.json`` maps ``"<reference> <arch>"`` to a manifest digest. A tag that moves in the
registry moves no node until somebody imports it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


def read_pins(state_dir: Path) -> dict[str, str]:
    """All pins; empty where nothing was imported yet."""
    try:
        pins: dict[str, str] = json.loads((state_dir / "pins.json").read_text())
    except FileNotFoundError:
        return {}
    return pins


def pinned(pins: Mapping[str, str], reference: str, arch: str) -> str:
    """The digest that nodes of ``arch`` which want ``reference`` run; empty when not imported."""
    return pins.get(f"{reference} {arch}", "")


def pin(state_dir: Path, reference: str, arch: str, digest: str) -> None:
    """Record that ``reference`` now means ``digest``, durably and in one step."""
    pins = read_pins(state_dir)
    pins[f"{reference} {arch}"] = digest
    target = state_dir / "pins.json"
    draft = target.with_suffix(".new")
    with draft.open("w") as file:
        json.dump(pins, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
