"""What a child leaves to the process after it: who it is, its secrets, and both records."""

from __future__ import annotations

from kedge.lib.errors import KedgeError
from kedge.sync import wire
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
        discovered=records[0].difference(0) if records else None,
        configured=records[1].saved() if records else None,
    )
    wire.fill_epoch(state.epoch, epoch)
    return state.SerializeToString()


def unpack(blob: bytes) -> pb.SavedChild:
    """Raises `KedgeError` for what is not whole."""
    state = wire.parse_saved(blob)
    if state is None or not state.node or not (state.node_key or state.token):
        raise KedgeError("sync.bad_state", "the saved state of the sync is damaged")
    return state
