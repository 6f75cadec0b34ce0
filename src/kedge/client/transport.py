"""One HTTP session to Kedge: requests with the token, and refusals back as `KedgeError`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import msgspec

from kedge.client.endpoint import Endpoint
from kedge.lib.errors import KedgeError, KedgeErrors

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 60.0
CLOSED = (aiohttp.ClientError, ConnectionError, OSError)


class Transport:
    """Sends requests. Use it inside ``async with``."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = TIMEOUT_S) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Read the token and get ready; nothing is sent yet."""
        token = self.endpoint.token()
        unix = self.endpoint.socket
        self._session = aiohttp.ClientSession(
            base_url=self.endpoint.url or "http://kedge",
            connector=aiohttp.UnixConnector(str(unix)) if unix else aiohttp.TCPConnector(),
            headers={"Authorization": f"Bearer {token}"},
            timeout=self._timeout(self._timeout_s),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _timeout(self, total_s: float | None) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_TIMEOUT_S)

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
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A response that is no refusal; ``lasting`` is without a limit in time."""
        assert self._session is not None, "use the client inside 'async with'"
        try:
            async with self._session.request(
                method,
                path,
                params=query,
                data=msgspec.json.encode(body) if body is not None else None,
                headers={"Content-Type": "application/json", **(headers or {})},
                timeout=self._timeout(None if lasting else self._timeout_s),
                allow_redirects=False,
            ) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                yield response
        except TimeoutError:
            raise KedgeError(
                "api.unreachable", "Kedge did not answer in time", where=str(self.endpoint),
                next_step="See what it does: journalctl -u kedge -e",
            ) from None  # fmt: skip
        except CLOSED as error:
            raise unreachable(self.endpoint, error) from None

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


def unreachable(endpoint: Endpoint, error: Exception) -> KedgeError:
    """Nobody answers: why, and how to start Kedge."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    permission = isinstance(cause, PermissionError)
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
