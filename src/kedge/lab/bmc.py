"""What every BMC of the lab can do, whatever protocol it speaks."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Login(msgspec.Struct, frozen=True):
    """The name and password that a BMC accepts."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username!r}, ***)"


class Bmc(Protocol):
    """A BMC that serves its own address until it is stopped, and can be made to misbehave."""

    async def start(self) -> None:
        """Serve; returns when the port is open."""
        ...

    async def stop(self) -> None:
        """Serve no longer."""
        ...

    async def set_hang(self, hang: bool) -> None:
        """Take requests and answer nothing, or answer again."""
        ...

    async def set_wrong_password(self, wrong: bool) -> None:
        """Refuse the lab's credentials, or take them again."""
        ...

    def state(self) -> str:
        """``up``, ``hung`` or ``down``."""
        ...
