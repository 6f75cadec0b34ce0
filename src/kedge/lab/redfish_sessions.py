"""The sessions of one Redfish service: bounded in number, ended by idleness."""

from __future__ import annotations

import hmac
import itertools
import secrets
import time

import msgspec

MAX_SESSIONS = 16
IDLE_S = 600.0


class _Session(msgspec.Struct):
    token: str
    user: str
    used_at: float


class Sessions:
    """Opens, checks and closes sessions; the one idle longest gives way when all are taken."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[str, _Session] = {}

    def open(self, user: str) -> tuple[str, str]:
        """A new session: its id and its token."""
        self._expire()
        if len(self._open) >= MAX_SESSIONS:
            del self._open[min(self._open, key=lambda one: self._open[one].used_at)]
        name, token = str(next(self._numbers)), secrets.token_urlsafe(24)
        self._open[name] = _Session(token, user, time.monotonic())
        return name, token

    def valid(self, token: str) -> bool:
        """Whether the token is that of an open session, which then counts as used."""
        self._expire()
        for session in self._open.values():
            if hmac.compare_digest(session.token.encode(), token.encode(errors="replace")):
                session.used_at = time.monotonic()
                return True
        return False

    def user(self, name: str) -> str | None:
        """The user of the session ``name``, or None."""
        session = self._open.get(name)
        return None if session is None else session.user

    def ids(self) -> list[str]:
        """The open sessions."""
        return list(self._open)

    def close(self, name: str) -> bool:
        """End one session; False when there is none of that name."""
        return self._open.pop(name, None) is not None

    def clear(self) -> None:
        """End all."""
        self._open.clear()

    def _expire(self) -> None:
        limit = time.monotonic() - IDLE_S
        self._open = {name: one for name, one in self._open.items() if one.used_at >= limit}
