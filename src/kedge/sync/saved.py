"""What a child leaves to the process after it: who it is, its secrets, and both records."""

from __future__ import annotations

from typing import NamedTuple

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.difference import Difference, read
from kedge.sync.record import Incoming, Outgoing
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch


def pack(
    node: str,
    epoch: Epoch,
    secrets: tuple[bytes | None, bytes | None],
    records: tuple[Outgoing, Incoming] | None,
) -> bytes:
    """``secrets``: the token and the node key, as far as they are held."""
    token, key = secrets
    state = pb.SavedChild(
        node=node,
        token=token or b"",
        node_key=key or b"",
        discovered=records[0].difference(0).message() if records else None,
        configured=records[1].saved().message() if records else None,
    )
    wire.fill_epoch(state.epoch, epoch)
    return state.SerializeToString()


class Saved(NamedTuple):
    """What a predecessor left."""

    node: str
    epoch: Epoch
    token: bytes | None
    node_key: bytes | None
    discovered: Difference | None  # all of it; None: nothing
    configured: Difference | None


def unpack(blob: bytes) -> Saved:
    """Raises `KedgeError` for what is not whole."""
    state = wire.parse_saved(blob)
    epoch = wire.parse_epoch(state.epoch) if state is not None else None
    if state is None or epoch is None or not state.node or not (state.node_key or state.token):
        raise KedgeError("sync.bad_state", "the saved state of the sync is damaged")
    return Saved(
        state.node,
        epoch,
        state.token or None,
        state.node_key or None,
        read(state.discovered, epoch),
        read(state.configured, epoch),
    )
