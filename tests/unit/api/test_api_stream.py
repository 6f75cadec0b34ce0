"""The event stream: order, resuming, bounds for the slow, and an end in time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fake_master import FakeOperations, fake_serving
from kedge.api import stream
from kedge.api.stream import LAGGED, QUEUE, Streams, Subscriber, frame
from kedge.client.client import Client
from kedge.client.endpoint import Endpoint
from kedge.lib.errors import KedgeError


def client_of(state: Path) -> Client:
    return Client(Endpoint(state / "api.token", socket=state / "api.sock"))


async def gather(client: Client, count: int, *topics: str, after: int = 0) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(10):
        async for message in client.watch(*topics, after=after):
            if message.topic != "connected":
                found.append(message)
            if len(found) == count:
                return found
    return found


async def write_soon(master: FakeOperations, count: int) -> None:
    await asyncio.sleep(0.3)
    for number in range(count):
        master.journal.write("n1", "phase", f"p{number}")
        master.journal.publish("node", {"node": "n1"})


def test_a_frame_is_a_server_sent_event() -> None:
    assert frame("event", {"seq": 3, "a": "x\ny"}).raw == (
        b'id: 3\nevent: event\ndata: {"seq":3,"a":"x\\ny"}\n\n'
    )
    assert frame("node", {"node": "n1"}).raw == b'event: node\ndata: {"node":"n1"}\n\n'


async def test_letters_that_are_no_unicode_keep_the_stream_from_nobody(tmp_path: Path) -> None:
    async def write(master: FakeOperations) -> None:
        await asyncio.sleep(0.3)
        master.journal.publish("node", {"node": "n1", "why": "a BMC said \ud800"})
        master.journal.publish("node", {"node": "n2"})

    async with fake_serving(tmp_path) as master, client_of(tmp_path) as client:
        writing = asyncio.create_task(write(master))
        found = await gather(client, 2, "node")
        await writing
        assert [message.content.get("why", "") for message in found] == ["a BMC said ?", ""]


async def test_all_that_happens_comes_in_order(tmp_path: Path) -> None:
    async with fake_serving(tmp_path) as master, client_of(tmp_path) as client:
        writing = asyncio.create_task(write_soon(master, 50))
        found = await gather(client, 50, "event")
        await writing
        assert [message.content["subject"] for message in found] == [f"p{n}" for n in range(50)]
        assert [message.seq for message in found] == list(range(2, 52))


async def test_only_the_wanted_topics_come(tmp_path: Path) -> None:
    async with fake_serving(tmp_path) as master, client_of(tmp_path) as client:
        writing = asyncio.create_task(write_soon(master, 3))
        assert {message.topic for message in await gather(client, 3, "node")} == {"node"}
        await writing


async def test_a_client_goes_on_where_it_was(tmp_path: Path) -> None:
    async with fake_serving(tmp_path) as master, client_of(tmp_path) as client:
        for number in range(2500):
            master.journal.write("n1", "phase", f"p{number}")
        master.journal.flush()
        writing = asyncio.create_task(write_soon(master, 5))
        found = await gather(client, 2505, after=1)
        await writing
        seqs = [message.seq for message in found if message.topic == "event"]
        assert seqs == list(range(2, 2 + len(seqs))) and len(seqs) >= 2500


async def test_after_a_restart_nothing_of_the_log_is_missed(tmp_path: Path) -> None:
    heard: list[int] = []
    async with fake_serving(tmp_path) as master:
        client = client_of(tmp_path)
        await client.__aenter__()
        log = master.store.log

        async def listen() -> None:
            async for message in client.watch("event"):
                if message.seq:
                    heard.append(message.seq)

        listening = asyncio.create_task(listen())
        await write_soon(master, 2)
        await asyncio.sleep(0.3)
    async with fake_serving(tmp_path) as master:
        master.store.log = log
        master.journal.write("n1", "phase", "while nobody was connected")
        master.journal.flush()
        async with asyncio.timeout(10):
            while len(heard) < 3:
                await asyncio.sleep(0.05)
        listening.cancel()
        await client.__aexit__(None, None, None)
    assert heard == [2, 3, 4]


def test_the_queue_of_a_slow_watcher_is_bounded() -> None:
    slow = Subscriber(frozenset())
    for number in range(QUEUE + 10):
        slow.offer(frame("node", {"node": str(number)}))
    assert len(slow.waiting) < QUEUE and slow.lagged


async def test_a_slow_watcher_is_told_and_gets_the_log_again(tmp_path: Path) -> None:
    master = FakeOperations()
    streams = Streams(master)  # type: ignore[arg-type]
    running = asyncio.create_task(streams.run())
    await asyncio.sleep(0)
    with streams.subscribed(frozenset()) as slow:
        chunks = streams.chunks(slow, 0)
        assert b"retry" in await anext(chunks)
        for number in range(QUEUE + 10):
            slow.offer(frame("node", {"node": str(number)}))
        master.journal.write("n1", "phase", "must not be lost")
        master.journal.flush()
        assert await anext(chunks) == LAGGED.raw
        assert b"must not be lost" in await anext(chunks)
    running.cancel()


async def test_too_many_watchers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_WATCHERS", 1)
    streams = Streams(FakeOperations())  # type: ignore[arg-type]
    with (
        streams.subscribed(frozenset()),
        pytest.raises(KedgeError, match="watch already"),
        streams.subscribed(frozenset()),
    ):
        pass


async def test_stopping_does_not_wait_for_watchers(tmp_path: Path) -> None:
    async with fake_serving(tmp_path):
        client = client_of(tmp_path)
        await client.__aenter__()
        listening = asyncio.create_task(gather(client, 1))
        await asyncio.sleep(0.3)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    listening.cancel()
    await client.__aexit__(None, None, None)


async def test_last_event_id_must_be_a_number(tmp_path: Path) -> None:
    async with fake_serving(tmp_path), client_of(tmp_path) as client:
        with pytest.raises(KedgeError, match="Last-Event-ID"):
            async with client._transport.exchange(  # pyright: ignore[reportPrivateUsage]
                "GET", "/v1/watch", headers={"Last-Event-ID": "x"}
            ):
                pass
