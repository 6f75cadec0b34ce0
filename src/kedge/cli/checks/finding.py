"""What a check has found."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["good", "note", "bad"]
GOOD: Verdict = "good"
NOTE: Verdict = "note"
BAD: Verdict = "bad"


class Finding(msgspec.Struct, frozen=True):
    """One finding: ``bad`` must be mended, ``note`` may matter; ``mend`` says how."""

    check: str
    verdict: Verdict
    what: str
    mend: str = ""


def good(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, GOOD, what)


def note(check: str, what: str, mend: str = "") -> Finding:
    """It may matter."""
    return Finding(check, NOTE, what, mend)


def bad(check: str, what: str, mend: str) -> Finding:
    """It must be mended."""
    return Finding(check, BAD, what, mend)
