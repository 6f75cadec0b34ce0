"""The client: where it finds Kedge, what errors become, and reading the event stream."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_master import fake_serving
from kedge.client.client import Client
from kedge.client.endpoint import Endpoint, find_endpoint
from kedge.client.stream import Message, Parser
from kedge.lib.errors import KedgeError, KedgeErrors


@pytest.mark.parametrize(
    ("api", "socket", "url"),
    [
        ("/run/kedge/api.sock", "/run/kedge/api.sock", ""),
        ("unix:///run/api.sock", "/run/api.sock", ""),
        ("http://127.0.0.1:8470/", None, "http://127.0.0.1:8470"),
        ("https://head.example", None, "https://head.example"),
    ],
)
def test_the_environment_says_where_kedge_is(api: str, socket: str | None, url: str) -> None:
    found = find_endpoint(environment={"KEDGE_API": api, "KEDGE_TOKEN_FILE": "/t"})
    assert found == Endpoint(Path("/t"), Path(socket) if socket else None, url)


@pytest.mark.parametrize("api", ["nonsense", "ftp://x", "http://", "unix:"])
def test_what_is_no_place_is_refused(api: str) -> None:
    with pytest.raises(KedgeError, match="neither a socket nor a URL"):
        find_endpoint(environment={"KEDGE_API": api, "KEDGE_TOKEN_FILE": "/t"})


def test_else_the_configuration_says_it(tmp_path: Path) -> None:
    (tmp_path / "kedge.yaml").write_text(f"state_dir: {tmp_path}\napi: {{socket: /x.sock}}\n")
    found = find_endpoint("", tmp_path / "kedge.yaml", {})
    assert found == Endpoint(tmp_path / "api.token", Path("/x.sock"))
    found = find_endpoint("/y.sock", tmp_path / "kedge.yaml", {})
    assert found == Endpoint(tmp_path / "api.token", Path("/y.sock"))


async def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x" * 43)
    for endpoint in (
        Endpoint(tmp_path / "t", socket=tmp_path / "none"),
        Endpoint(tmp_path / "t", url="http://127.0.0.1:1"),
    ):
        async with Client(endpoint) as client:
            with pytest.raises(KedgeError) as caught:
                await client.about()
            assert caught.value.code == "api.unreachable" and "start" in caught.value.next_step
    with pytest.raises(KedgeError) as caught:
        await Client(Endpoint(tmp_path / "missing")).__aenter__()
    assert caught.value.code == "client.token" and "kedge init" in caught.value.next_step


async def test_a_wrong_token_is_refused(tmp_path: Path) -> None:
    async with fake_serving(tmp_path):
        (tmp_path / "wrong").write_text("x" * 43)
        async with Client(Endpoint(tmp_path / "wrong", socket=tmp_path / "api.sock")) as client:
            with pytest.raises(KedgeError) as caught:
                await client.status()
            assert caught.value.code == "api.token"


async def test_errors_come_back_as_they_were_raised(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path / "api.token", socket=tmp_path / "api.sock")
    async with fake_serving(tmp_path), Client(endpoint) as client:
        with pytest.raises(KedgeErrors) as several:
            await client.diff({"site.yaml": "bad"})
        assert [error.where for error in several.value.errors] == ["site.yaml:1", "site.yaml:2"]
        with pytest.raises(KedgeError) as one:
            await client.node("n9/../x y?z")
        assert not isinstance(one.value, KedgeErrors) and one.value.code == "node.unknown"


async def test_what_is_not_kedge_is_said(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    (tmp_path / "t").write_text("x" * 43)
    server = await asyncio.start_unix_server(answer, tmp_path / "s")
    async with server, Client(Endpoint(tmp_path / "t", socket=tmp_path / "s")) as client:
        with pytest.raises(KedgeError) as caught:
            await client.about()
    assert caught.value.code == "api.answer"


STREAM = (
    b'id: 3\nevent: event\ndata: {"a":1}\n\n: \n\nevent: node\r\ndata: {"b":\r\ndata: 2}\r\n\r\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_may_come_in_any_pieces(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    parser = Parser()
    found = [
        message for start, end in pairwise(places) for message in parser.feed(STREAM[start:end])
    ]
    assert found == [
        Message("event", {"a": 1}, 3),
        Message("node", {"b": 2}, 0),
    ]


@given(st.binary(max_size=200))
def test_no_stream_breaks_the_reader(noise: bytes) -> None:
    try:
        Parser().feed(noise + b"\n\n")
    except KedgeError as error:
        assert error.code == "api.answer"
