"""The verb ``image list``: all images of this machine, what is pinned to them, and who needs them."""

from __future__ import annotations

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.modules.image.needs import Need, find_needs
from kedge.modules.image.pins import read_pins
from kedge.modules.image.store import ImageRecord, read_records
from kedge.modules.port import Io


def list_records(io: Io) -> Value:
    """One row an image. ``needed_by`` is None, and ``unknown`` says why, where it cannot be known."""
    records, pins = read_records(io.state_dir), read_pins(io.state_dir)
    try:
        needs = find_needs(records, pins, io.nodes().values(), io.image_claims())
    except KedgeError as error:
        return [_row(record, pins, None, str(error)) for record in records]
    return [_row(record, pins, needs[record.digest], "") for record in records]


def _row(record: ImageRecord, pins: dict[str, str], need: Need | None, unknown: str) -> Value:
    return {
        **record.as_json(),
        "pinned": [name for name in sorted(pins) if pins[name] == record.digest],
        "needed_by": need.as_json() if need is not None else None,
        "unknown": unknown,
    }
