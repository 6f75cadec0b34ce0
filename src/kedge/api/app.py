"""The HTTP application: requests are checked against the route table, answers and errors encoded."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from kedge.api.access import allowed, peer_name
from kedge.api.encoding import encoded
from kedge.api.errors import body_of, of_http, status_of
from kedge.api.openapi import document
from kedge.api.routes import ROUTES, SITE_BYTES, Asked, Route
from kedge.api.stream import Streams
from kedge.lib.errors import KedgeError
from kedge.master.process.supervisor import outcome
from kedge.shapes.asking import WatchQuery

if TYPE_CHECKING:
    from kedge.master.operations.operations import Operations

log = logging.getLogger("kedge.api")

BODY_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(operations: Operations, token: str) -> web.Application:
    """The application; ``token`` is what every request must carry."""
    streams = Streams(operations)
    app = web.Application(middlewares=[_answering(token)], client_max_size=SITE_BYTES)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(route, operations))
    app.router.add_get("/v1/watch", _watching(streams))
    app.router.add_get("/v1/openapi.json", _openapi)

    async def broadcasting(_: web.Application) -> AsyncGenerator[None]:
        task = asyncio.create_task(streams.run(), name="api.streams")
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def ending(_: web.Application) -> None:
        streams.end()

    app.cleanup_ctx.append(broadcasting)
    app.on_shutdown.append(ending)
    return app


def _answering(token: str) -> Any:
    """Refuse those without the token, and turn every error into a body that speaks to people."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        found: list[web.StreamResponse] = []

        async def work() -> None:
            if not allowed(request.headers.get("Authorization", ""), token):
                raise KedgeError(
                    "api.token", "the request carries no valid token",
                    next_step="Send 'Authorization: Bearer ...' with the text of <state>/api.token",
                )  # fmt: skip
            try:
                found.append(await handler(request))
            except web.HTTPException as error:
                raise of_http(
                    error.status, error.reason, f"{request.method} {request.path}"
                ) from None
            except ConnectionError:
                raise KedgeError("api.gone", "the client went away") from None

        error = await outcome(work)
        if error is None:
            return found[0]
        if not isinstance(error, KedgeError):
            error = KedgeError("api.too_slow", "it took too long")
        return refusal(error)

    return answer


def refusal(error: KedgeError) -> web.Response:
    """The response that tells of an error."""
    status = status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _json(body_of(error), status=status, headers=headers)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=encoded(value),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _handler(route: Route, operations: Operations) -> Handler:
    async def call(request: web.Request) -> web.StreamResponse:
        asked = Asked(
            by=_by(request),
            path=request.match_info,
            query=_query(request, route.query),
            body=await _body(request, route) if route.body is not None else None,
        )
        answer = route.call(operations, asked)
        if inspect.isawaitable(answer):
            answer = await answer
        if route.text:
            return web.Response(text=answer)
        response = _json(answer)
        return _unless_known(request, response) if route.method == "GET" else response

    return call


def _by(request: web.Request) -> str:
    transport = request.transport
    return peer_name(transport.get_extra_info("socket") if transport is not None else None)


def _query(request: web.Request, shape: type[Any]) -> Any:
    try:
        return msgspec.convert(dict(request.query), shape, strict=False)
    except msgspec.ValidationError as error:
        raise KedgeError("api.request", f"query: {error}", where=request.path) from None


async def _body(request: web.Request, route: Route) -> Any:
    if (request.content_length or 0) > route.most_bytes:
        raise _too_large(request, route)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        raise KedgeError(
            "api.too_slow", f"the body did not come within {BODY_TIMEOUT_S:.0f} s"
        ) from None
    if len(raw) > route.most_bytes:
        raise _too_large(request, route)
    decode: Any = msgspec.json.decode
    try:
        return decode(raw, type=route.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise KedgeError("api.request", f"body: {error}", where=request.path) from None


def _too_large(request: web.Request, route: Route) -> KedgeError:
    return KedgeError(
        "api.too_large", f"the body is larger than {route.most_bytes} bytes", where=request.path
    )


def _unless_known(request: web.Request, response: web.Response) -> web.Response:
    """Not-modified when the client holds this very answer (RFC 9110, 13.1.2)."""
    assert isinstance(response.body, bytes)
    tag = f'"{hashlib.blake2b(response.body, digest_size=16).hexdigest()}"'
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return response


async def _openapi(_: web.Request) -> web.StreamResponse:
    return _json(document())


def _watching(streams: Streams) -> Handler:
    async def watch(request: web.Request) -> web.StreamResponse:
        topics: str = _query(request, WatchQuery).topics
        last = request.headers.get("Last-Event-ID", "0")
        if not last.isascii() or not last.isdigit() or len(last) > 18:
            raise KedgeError("api.request", "Last-Event-ID is not a whole number")
        wanted = frozenset(topic.strip() for topic in topics.split(",") if topic.strip())
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        with streams.subscribed(wanted) as subscriber:
            await response.prepare(request)
            try:
                async for chunk in streams.chunks(subscriber, int(last)):
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await response.write(chunk)
            except (TimeoutError, ConnectionError):
                log.info("a watcher went away")
        return response

    return watch
