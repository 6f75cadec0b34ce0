"""Generated protobuf code of the wire contract, version 1 (scripts/proto makes it)."""
