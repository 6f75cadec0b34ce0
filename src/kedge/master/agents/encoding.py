"""How values travel in records: compact JSON."""

from __future__ import annotations

import json

from kedge.core.kinds import Value


def encode(value: Value) -> bytes:
    """A value as it travels in a record; equal values are equal bytes."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
