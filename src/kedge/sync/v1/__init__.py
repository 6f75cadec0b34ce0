"""The wire contract, version 1: generated code (scripts/proto makes it) where protobuf is installed.

Where it is not, as in layer0, ``sync_pb2`` is the small stand-in: same messages, same bytes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import DecodeError as DecodeError

    from kedge.sync.v1 import sync_pb2 as sync_pb2
else:
    try:
        from google.protobuf.message import DecodeError

        from kedge.sync.v1 import sync_pb2
    except ImportError:
        from kedge.sync.v1 import sync_small as sync_pb2

        DecodeError = ValueError

__all__ = ["DecodeError", "sync_pb2"]
