"""How the API refuses."""

from __future__ import annotations

from msgspec import Struct


class ErrorBody(Struct):
    """One error: a stable code, what is wrong, where, why, and what to do next."""

    code: str
    what: str
    where: str
    why: str
    next_step: str


class Refusal(Struct):
    """What every answer from status 400 up holds: the first error, and all of them."""

    error: ErrorBody
    errors: list[ErrorBody]
