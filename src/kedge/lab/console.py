"""A machine's serial console as plain text: what it wrote must not command the reader's terminal."""

from __future__ import annotations

import codecs
import re

# ECMA-48: control sequences, strings (titles, clipboards) up to their end, two-byte escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[PX\]^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[PX\]^_][^\x07\x1b]*\x1b?|[ -/]*)?$|\r$")
HELD_MAX = 256


class Plain:
    """Turns the bytes of a console, piece by piece, into text without escapes or controls."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, piece: bytes, *, last: bool = False) -> str:
        """The plain text of one more piece; an escape cut in two is held until the next."""
        text = self._held + self._decoder.decode(piece, last)
        self._held = ""
        unfinished = None if last else _UNFINISHED.search(text)
        if unfinished is not None and len(text) - unfinished.start() <= HELD_MAX:
            self._held = text[unfinished.start() :]
            text = text[: unfinished.start()]
        text = text.replace("\r\r\n", "\n").replace("\r\n", "\n")
        return _CONTROLS.sub("", _ESCAPES.sub("", text))
