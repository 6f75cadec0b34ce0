"""Requests to Kedge with the token, and refusals back as `KedgeError`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from kedge.client.endpoint import Endpoint
from kedge.client.http import Answer, ask, connect
from kedge.lib.errors import KedgeError, KedgeErrors

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 60.0


class Transport:
    """Sends requests. Use it inside ``async with``."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = TIMEOUT_S) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._token = ""

    async def open(self) -> None:
        """Read the token and get ready; nothing is sent yet."""
        self._token = self.endpoint.token()

    async def close(self) -> None:
        """Forget the token; every exchange closes its own connection."""
        self._token = ""

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        lasting: bool = False,
    ) -> AsyncGenerator[Answer]:
        """A response that is no refusal; ``lasting`` is without a limit in time."""
        assert self._token, "use the client inside 'async with'"
        base = urlsplit(self.endpoint.url or "http://kedge")
        target = base.path + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        fields = {
            "Host": base.netloc.rpartition("@")[2],
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        content = msgspec.json.encode(body) if body is not None else b""
        try:
            async with asyncio.timeout(None if lasting else self._timeout_s):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    streams = await connect(self.endpoint)
                try:
                    answer = await ask(streams, method, target, fields, content)
                    if answer.status == 401:
                        raise self._unknown_token()
                    if answer.status >= 400:
                        raise _refusal(answer.status, await answer.read())
                    if answer.status >= 300:
                        raise _refusal(answer.status, b"")
                    yield answer
                finally:
                    streams[1].close()
        except TimeoutError:
            raise KedgeError(
                "api.unreachable", "Kedge did not answer in time", where=str(self.endpoint),
                next_step="See what it does: journalctl -u kedge -e",
            ) from None  # fmt: skip
        except OSError as error:
            raise unreachable(self.endpoint, error) from None

    def _unknown_token(self) -> KedgeError:
        return KedgeError(
            "api.token", "Kedge does not know this token", where=str(self.endpoint),
            why=f"it was read from {self.endpoint.token_file}",
            next_step="Take the one of the Kedge that answers: api.token in its state directory",
        )  # fmt: skip

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        lasting: bool = False,
    ) -> bytes:
        """The body of the answer."""
        async with self.exchange(method, path, query=query, body=body, lasting=lasting) as response:
            return await response.read()


def unreachable(endpoint: Endpoint, error: OSError) -> KedgeError:
    """Nobody answers: why, and how to start Kedge."""
    why = error.strerror or str(error)
    permission = isinstance(error, PermissionError)
    return KedgeError(
        "api.unreachable",
        "cannot reach Kedge",
        where=str(endpoint),
        why=why,
        next_step="Run the command as the user that runs kedge serve (sudo kedge ...)"
        if permission
        else "Start it with: systemctl start kedge (or in a terminal: kedge serve)",
    )


def _refusal(status: int, raw: bytes) -> KedgeError:
    try:
        told = msgspec.json.decode(raw, type=dict[str, Any])
        errors = [_error(one) for one in cast("list[dict[str, Any]]", told["errors"])]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        errors = []
    if not errors:
        return KedgeError("api.answer", f"an answer that is not Kedge's (HTTP {status})")
    return errors[0] if len(errors) == 1 else KedgeErrors(errors)


def _error(told: dict[str, Any]) -> KedgeError:
    code, what, where, why, next_step = (
        str(told.get(key, "")) for key in ("code", "what", "where", "why", "next_step")
    )
    return KedgeError(code, what, where=where, why=why, next_step=next_step)
