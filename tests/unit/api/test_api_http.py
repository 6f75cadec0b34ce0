"""The API over real sockets: who is let in, what is refused, and that nothing that is sent breaks it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_master import FakeOperations, fake_serving
from kedge.api.access import allowed, make_token, peer_name, read_token
from kedge.api.openapi import document
from kedge.api.routes import ROUTES
from kedge.lib.errors import KedgeError


class Front:
    """A session to the API, with and without its token."""

    def __init__(self, state: Path, master: FakeOperations) -> None:
        self.state = state
        self.master = master
        self.token = (state / "api.token").read_text().strip()
        self.session = aiohttp.ClientSession(
            "http://kedge", connector=aiohttp.UnixConnector(str(state / "api.sock"))
        )

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        async with self.session.request(method, path, headers=headers, **more) as response:
            text = await response.text()
            kind = response.content_type
            return response.status, json.loads(text) if kind == "application/json" else text


@pytest_asyncio.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with fake_serving(tmp_path) as master:
        front = Front(tmp_path, master)
        async with front.session:
            yield front


async def test_every_route_asks_for_the_token(front: Front) -> None:
    paths = [(r.method, r.path.format(node="n1", module="m", action="a", name="A")) for r in ROUTES]
    for method, path in [*paths, ("GET", "/v1/watch"), ("GET", "/v1/openapi.json"), ("GET", "/x")]:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": front.token}):
            async with front.session.request(method, path, headers=header) as response:
                assert response.status == 401, (method, path, header)
                told = await response.json()
                assert told["error"]["code"] == "api.token" and told["errors"]
    assert front.master.asked == []


def test_only_the_very_token_is_allowed() -> None:
    token = "t" * 43
    assert allowed(f"Bearer {token}", token) and allowed(f"bearer {token}", token)
    for header in ("", "Bearer", "Bearer ", f"Basic {token}", f"Bearer {token}x", "Bearer \udcff"):
        assert not allowed(header, token)


async def test_socket_and_token_are_for_the_owner_only(front: Front) -> None:
    for name in ("api.sock", "api.token"):
        assert stat.S_IMODE((front.state / name).stat().st_mode) == 0o600


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    assert make_token(tmp_path)
    token = read_token(tmp_path)
    assert not make_token(tmp_path) and read_token(tmp_path) == token and len(token) >= 40
    (tmp_path / "api.token").chmod(0o640)
    with pytest.raises(KedgeError, match="read by others"):
        read_token(tmp_path)
    (tmp_path / "api.token").chmod(0o600)
    (tmp_path / "api.token").write_text("short")
    with pytest.raises(KedgeError, match="too short"):
        read_token(tmp_path)


def test_the_peer_of_a_unix_socket_is_named() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        import pwd

        assert peer_name(one) == pwd.getpwuid(os.getuid()).pw_name


async def test_the_openapi_document_describes_every_route(front: Front) -> None:
    status, told = await front.ask("GET", "/v1/openapi.json")
    assert status == 200 and told["openapi"] == "3.1.0" and told == document()
    for route in ROUTES:
        operation = told["paths"][route.path][route.method.lower()]
        assert operation["operationId"] == route.name
    names = set(told["components"]["schemas"])
    for reference in _references(told):
        kind, _, name = reference.removeprefix("#/components/").partition("/")
        assert name in (names if kind == "schemas" else told["components"][kind])


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [f for item in value for f in _references(item)] if isinstance(value, list) else []


async def test_answers_have_the_promised_form(front: Front) -> None:
    import msgspec

    await front.ask("POST", "/v1/hold", json={"nodes": "n1", "reason": "x"})
    for route in ROUTES:
        if route.method == "GET" and not route.text:
            status, told = await front.ask(
                "GET", route.path.format(node="n1", name="A", module="lamp"), params=_some(route)
            )
            assert status == 200
            msgspec.convert(told, route.answer)


def _some(route: Any) -> dict[str, str]:
    return {"nodes": "n[1-2]"} if "nodes" in route.query.__struct_fields__ else {}


async def test_errors_have_statuses_and_all_words(front: Front) -> None:
    status, told = await front.ask("GET", "/v1/nodes/n9")
    assert status == 404 and told["error"]["next_step"] == "n[1-4]"
    status, told = await front.ask("POST", "/v1/diff", json={"files": {"a.yaml": "bad"}})
    assert status == 422 and [error["where"][-1] for error in told["errors"]] == ["1", "2"]
    status, told = await front.ask("POST", "/v1/apply", json={"files": {}, "revision": 1})
    assert status == 409
    status, told = await front.ask("GET", "/v1/nothing")
    assert status == 404 and told["error"]["code"] == "api.path"
    status, told = await front.ask("PUT", "/v1/status")
    assert status == 405 and told["error"]["code"] == "api.method"
    status, told = await front.ask("POST", "/v1/modules/image/actions/bug", json={})
    assert status == 500 and told["error"]["code"] == "bug"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/set", b""),
        ("/v1/set", b"{"),
        ("/v1/set", b"[]"),
        ("/v1/set", b'{"nodes": "n1"}'),
        ("/v1/set", b'{"nodes": "n1", "values": {}}'),
        ("/v1/set", b'{"nodes": 1, "values": {"a": 1}}'),
        ("/v1/set", b'{"nodes": "n1", "values": {"a": 1}, "extra": 1}'),
        ("/v1/set", b'{"nodes": "n1", "values": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}"),
        ("/v1/set", b'{"nodes": "\\ud800", "values": {"a": 1}}'),
        ("/v1/set", b"\xff\xfe"),
        ("/v1/power", b'{"nodes": "n1", "action": "explode"}'),
        ("/v1/apply", b'{"files": {"a": 1}}'),
        ("/v1/apply", b'{"files": {}, "revision": -1}'),
    ],
)
async def test_bad_bodies_are_refused(front: Front, path: str, body: bytes) -> None:
    status, told = await front.ask("POST", path, data=body)
    assert status == 400 and told["error"]["code"] == "api.request"
    assert front.master.asked == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "after=-1", "nonsense=1", "limit=1e9"]
)
async def test_bad_queries_are_refused(front: Front, query: str) -> None:
    assert (await front.ask("GET", f"/v1/events?{query}"))[0] == 400


async def test_bodies_and_headers_have_bounds(front: Front) -> None:
    status, told = await front.ask("POST", "/v1/hold", data=b"x" * 4_000_001)
    assert status == 413 and told["error"]["code"] == "api.too_large"
    many = {f"X-{number}": "x" for number in range(200)}
    assert (await front.ask("GET", "/v1/about", headers=many))[0] == 400
    assert (await front.ask("GET", "/v1/about", headers={"X": "x" * 100_000}))[0] == 400
    assert (await front.ask("GET", "/v1/about"))[0] == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
KEYS = st.sampled_from(
    ["nodes", "values", "reason", "action", "files", "revision", "args", "dry_run", "x"]
)


async def test_no_body_breaks_it(front: Front) -> None:
    paths = [
        r.path.format(module="image", action="list", name="A") for r in ROUTES if r.method == "POST"
    ]
    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(paths), st.dictionaries(KEYS, JSON) | JSON, st.binary(max_size=30))
    def fuzz(path: str, body: Any, raw: bytes) -> None:
        for data in (json.dumps(body).encode(), raw):
            future = asyncio.run_coroutine_threadsafe(front.ask("POST", path, data=data), loop)
            status, told = future.result(30)
            assert status in (200, 400, 404, 409, 422), (path, data, told)

    await asyncio.to_thread(fuzz)
    assert (await front.ask("GET", "/v1/about"))[0] == 200


async def test_an_unchanged_answer_is_not_sent_again(front: Front) -> None:
    headers = {"Authorization": f"Bearer {front.token}"}
    async with front.session.get("/v1/variables", headers=headers) as response:
        tag = response.headers["ETag"]
    async with front.session.get(
        "/v1/variables", headers={**headers, "If-None-Match": tag}
    ) as response:
        assert response.status == 304 and not await response.read()


async def test_on_tcp_too_when_it_is_set(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    async with fake_serving(tmp_path, f"127.0.0.1:{port}"), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/v1/about"
        async with session.get(url) as response:
            assert response.status == 401
        token = (tmp_path / "api.token").read_text().strip()
        async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200
        with pytest.raises(KedgeError, match="cannot listen"):
            (tmp_path / "other").mkdir()
            async with fake_serving(tmp_path / "other", f"127.0.0.1:{port}"):
                pass


async def test_what_an_earlier_run_left_is_replaced(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "api.sock"))
    stale.close()
    async with fake_serving(tmp_path):
        assert (tmp_path / "api.sock").is_socket()
    assert not (tmp_path / "api.sock").exists()
    (tmp_path / "api.sock").write_text("not a socket")
    with pytest.raises(KedgeError, match="cannot listen on the Unix socket"):
        async with fake_serving(tmp_path):
            pass
    assert (tmp_path / "api.sock").read_text() == "not a socket"
