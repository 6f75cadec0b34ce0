from __future__ import annotations

import pytest

from kedge.agent.dbus import Reader


def test_values_of_every_kind_are_read_by_hand_laid_bytes() -> None:
    content = (
        b"\x07\0\0\0"  # y, padded to the next u
        b"\x2a\0\0\0"  # u 42
        b"\3\0\0\0abc\0"  # s
        b"\2as\0"  # v of as: signature
        b"\x0a\0\0\0\1\0\0\0x\0\0\0\1\0\0\0y\0"  # wrong length on purpose below
    )
    fixed = content.replace(b"\x0a\0\0\0\1\0\0\0x", b"\x0e\0\0\0\1\0\0\0x")
    assert Reader(fixed, "yusv").values() == [7, 42, "abc", ["x", "y"]]


def test_structures_align_to_eight() -> None:
    content = b"\x0c\0\0\0\0\0\0\0" + b"\1\0\0\0\2\0\0\0\3\0\0\0"
    assert Reader(content, "a(uuu)").values() == [[(1, 2, 3)]]


@pytest.mark.parametrize(
    ("content", "signature"),
    [
        (b"\1", "u"),
        (b"\xff\xff\xff\xffabc", "as"),
        (b"\1z\0", "v"),
        (b"\3\0\0\0\xff\xff\xff\0", "s"),
    ],
)
def test_nonsense_is_an_error_of_the_connection(content: bytes, signature: str) -> None:
    with pytest.raises(ConnectionError):
        Reader(content, signature).values()
