"""The socket of the parents of the sync: batches, a buffer that is full, a network that is away."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from kedge.master import datagrams
from kedge.master.datagrams import Batch
from kedge.master.host import RECEIVE_BUFFER_BYTES, grow_receive_buffer


def udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    return opened


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: SO_RCVBUFFORCE")
def test_every_node_may_speak_at_once_while_the_loop_is_busy():
    async def work() -> None:
        sock, sender = udp(), udp()
        assert grow_receive_buffer(sock) >= RECEIVE_BUFFER_BYTES
        got: Batch = []
        turns: list[int] = []
        port = await datagrams.listen(
            sock, lambda batch: (turns.append(len(batch)), got.extend(batch))
        )
        for number in range(10_000):
            sender.sendto(b"%d" % number, sock.getsockname())
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if len(got) == 10_000:
                break
        assert [datagram for datagram, _ in got] == [b"%d" % number for number in range(10_000)]
        assert {address for _, address in got} == {sender.getsockname()}
        assert max(turns) == datagrams.A_TURN  # and then others have their turn
        port.send([(b"answer", sender.getsockname())] * 3)
        assert [sender.recv(100) for _ in range(3)] == [b"answer"] * 3
        port.close()
        sender.close()

    asyncio.run(work())


def test_what_finds_no_room_waits_and_goes_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A local socket takes ten datagrams or so; loopback would take all."""
    monkeypatch.setattr(datagrams, "WAITING_MAX", 150)

    async def work() -> None:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(tmp_path / "to"))
        receiver.setblocking(False)
        port = await datagrams.listen(sender, lambda _batch: None)
        target = str(tmp_path / "to")
        port.send([(b"%d" % number, target) for number in range(100)])
        port.send([(b"%d" % number, target) for number in range(100, 400)])
        got: list[bytes] = []
        for _ in range(500):
            await asyncio.sleep(0)
            try:
                got.append(receiver.recv(100))
            except BlockingIOError:
                if len(got) > 150:
                    break
                await asyncio.sleep(0.001)
        assert got == [b"%d" % number for number in range(len(got))]
        assert 150 <= len(got) < 200  # what waits is bounded: the rest is sent again by the sync
        port.close()
        receiver.close()

    asyncio.run(work())


def test_a_network_that_is_away_ends_nothing():
    async def work() -> None:
        sock, closed, reader = udp(), udp(), udp()
        gone = closed.getsockname()
        closed.close()
        got: Batch = []
        port = await datagrams.listen(sock, got.extend)
        port.send([(b"x", gone), (b"x", ("255.255.255.255", 1)), (b"x", gone)])
        await asyncio.sleep(0.01)
        port.send([(b"y", reader.getsockname())])
        reader.sendto(b"z", sock.getsockname())
        assert reader.recv(10) == b"y"
        await asyncio.sleep(0.01)
        assert [datagram for datagram, _ in got] == [b"z"]
        port.close()
        reader.close()

    asyncio.run(work())
