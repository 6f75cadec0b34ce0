"""What a frame brought to the session that read it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kedge.sync.v1 import sync_pb2 as pb

_NO_CHANGES: Mapping[str, bytes | None] = MappingProxyType({})


class News:
    """What a frame brought. Most bring little: what is not set here is as the class says."""

    applied = False
    full = False
    changes: Mapping[str, bytes | None] = _NO_CHANGES
    acked: int | None = None  # the other end has come to hold our record at this version
    outranked = False  # it holds our record from a later epoch than ours
    bye: pb.Bye.Why | None = None
    only_asks = False  # a heartbeat and nothing else
    only_answers = False  # what is said to a heartbeat, and nothing else

    def apply(self, changes: Mapping[str, bytes | None], *, full: bool) -> None:
        """A record was merged."""
        self.changes = {**self.changes, **changes} if self.applied else changes
        self.applied = True
        self.full = self.full or full


def is_heartbeat(frame: pb.Frame) -> bool:
    """Whether a frame asks, and does nothing else."""
    return frame.ask and not (
        frame.HasField("fragment") or frame.HasField("fragment_ack") or frame.HasField("bye")
    )
