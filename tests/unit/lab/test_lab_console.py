"""Whatever a machine writes, the reader's terminal gets plain text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.lab.console import HELD_MAX, Plain


def plain(*pieces: bytes) -> str:
    filter_ = Plain()
    return "".join([filter_.feed(piece) for piece in pieces]) + filter_.feed(b"", last=True)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"login: \r\n", "login: \n"),
        (b"\x1b[0;1miPXE\x1b[0m -- \x1b[36mhttp\x1b[0m", "iPXE -- http"),
        (b"c\x1bc\x1b[?7l\x1b[2J\x1b(Bx", "cx"),
        (b"\x1b]0;a title\x07text", "text"),
        (b"\x1b]52;c;aGFoYQ==\x1b\\text", "text"),
        (b"a\x00b\x08c\x9bd", "abc\N{REPLACEMENT CHARACTER}d"),
        ("Grüße\tund\n".encode(), "Grüße\tund\n"),
        (b"50%\r100%\r\n", "50%\r100%\n"),
    ],
)
def test_escapes_and_controls_are_left_out(written: bytes, shown: str) -> None:
    assert plain(written) == shown
    assert plain(*(written[i : i + 1] for i in range(len(written)))) == shown


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"]", b"0", b"m", b"\x07", b"\r", b"\n", b"x"])))
def test_no_escape_gets_through_however_it_is_cut(pieces: list[bytes]) -> None:
    assert "\x1b" not in plain(*pieces)
    assert "\x1b" not in plain(b"".join(pieces))


def test_an_escape_without_end_holds_back_only_so_much() -> None:
    filter_ = Plain()
    assert filter_.feed(b"\x1b[" + b"1" * HELD_MAX * 2) == "1" * HELD_MAX * 2
