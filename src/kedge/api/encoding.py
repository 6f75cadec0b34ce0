"""JSON as the API writes it."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def encoded(value: Any) -> bytes:
    """JSON in UTF-8. What a device or a node said may be no Unicode: such letters become question marks,
    so that nobody can keep an answer or the event stream from others by saying them."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        plain = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return plain.encode("utf-8", "replace")
