"""The stand-in for protobuf is the contract, and a node without protobuf speaks the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor import FieldDescriptor as F

from kedge.sync import small
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.v1 import sync_small

HERE = Path(__file__).parent
KINDS = {
    F.TYPE_UINT32: small.UINT32, F.TYPE_UINT64: small.UINT64, F.TYPE_BOOL: small.BOOL,
    F.TYPE_ENUM: small.ENUM, F.TYPE_FIXED32: small.FIXED32, F.TYPE_STRING: small.STRING,
    F.TYPE_BYTES: small.BYTES,
}  # fmt: skip


def kind_of(field: FieldDescriptor, repeated: bool) -> Any:
    if field.type == F.TYPE_MESSAGE:
        message = getattr(sync_small, field.message_type.name)
        return [message] if repeated else message
    if repeated:
        assert field.type == F.TYPE_ENUM
        return small.ENUMS
    if field.has_presence:
        assert field.type == F.TYPE_BYTES
        return small.OPTIONAL_BYTES
    return KINDS[field.type]


def test_the_tables_are_those_of_the_contract():
    for name, descriptor in pb.DESCRIPTOR.message_types_by_name.items():
        empty = getattr(pb, name)()
        repeats = {f.name: hasattr(getattr(empty, f.name), "extend") for f in descriptor.fields}
        fields = [(f.number, f.name, kind_of(f, repeats[f.name])) for f in descriptor.fields]
        assert list(getattr(sync_small, name).FIELDS) == sorted(fields, key=lambda row: row[0]), (
            name
        )


def test_the_constants_are_those_of_the_contract():
    for enum in pb.DESCRIPTOR.enum_types_by_name.values():
        for value in enum.values:
            assert getattr(sync_small, value.name) == value.number
    for value in pb.Bye.DESCRIPTOR.enum_types_by_name["Why"].values:
        assert getattr(sync_small.Bye, value.name) == value.number


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"\x08", "no value"),
        (b"\x00\x01", "field 0"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "endless number"),
        (b"\x12\x05\x08", "length beyond the end"),
        (b"\x0f\x01", "wire type 7"),
        (b"\x9d\x06\x01", "fixed number cut short"),
    ],
)
def test_what_is_no_message_is_refused(blob: bytes, why: str):
    with pytest.raises(ValueError, match=r".+"):
        sync_small.Frame.FromString(blob)
    with pytest.raises(ValueError, match=r"cut|number|wire"):
        sync_small.Update.FromString(b"\x0a" + bytes([len(blob)]) + blob)


def test_wrong_values_are_refused():
    for name, value in (("node", b"x"), ("version", -1), ("version", 2**64), ("hash", "x")):
        with pytest.raises((TypeError, ValueError)):
            sync_small.Status(**{name: value})
    with pytest.raises(KeyError):
        sync_small.Status(nonsense=1)
    with pytest.raises(AttributeError):
        _ = sync_small.Status().nonsense


WITHOUT_PROTOBUF = """
import json, sys
sys.modules["google"] = None
sys.path[:0] = [{tests!r}, {here!r}]
from kedge.sync.v1 import sync_pb2
assert sync_pb2.__name__ == "kedge.sync.v1.sync_small"
import test_sync_fixtures
print(json.dumps(test_sync_fixtures.recorded()))
"""


def test_a_node_without_protobuf_speaks_the_same_bytes():
    code = WITHOUT_PROTOBUF.format(tests=str(HERE.parents[1]), here=str(HERE))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((HERE / "fixtures/join-v1-f3.json").read_text())
