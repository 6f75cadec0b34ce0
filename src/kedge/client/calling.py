"""How the client's methods call: a path, a query or a body, and the shape of the answer."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from kedge.client.transport import Transport
from kedge.lib.errors import KedgeError

T = TypeVar("T")
Json = dict[str, Any]


class Calling:
    """What all parts of the client share."""

    _transport: Transport

    async def get(self, path: str, shape: type[T], **query: object) -> T:
        """Ask for something."""
        asked = {key: str(value) for key, value in query.items() if value not in ("", None)}
        return decoded(await self._transport.call("GET", path, query=asked), shape)

    async def post(self, path: str, shape: type[T], *, lasting: bool = False, **body: object) -> T:
        """Have something done; ``lasting``: however long it takes."""
        return decoded(await self._transport.call("POST", path, body=body, lasting=lasting), shape)


def decoded(raw: bytes, shape: type[T]) -> T:
    """The answer; raises `KedgeError` for one that is none."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KedgeError(
            "api.answer", "Kedge answered something unexpected", why=str(error),
            next_step="Is the master of another version? See: kedge version",
        ) from None  # fmt: skip
