"""The socket of the parents of the sync: batches, a buffer that is full, a network that is away."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from kedge.master.process.host import RECEIVE_BUFFER_BYTES, grow_receive_buffer
from kedge.master.transport import datagrams, many
from kedge.master.transport.many import AT_ONCE, SLOT_BYTES, Batch, Calls, Names
from kedge.sync.wire import DATAGRAM_MAX_BYTES


def udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    return opened


class LocalNames:
    """Of local sockets: paths."""

    size = 110

    def __init__(self, _family: int) -> None:
        self.readable: dict[bytes, str] = {}
        self.packed = self

    def __getitem__(self, path: str) -> bytes:
        return struct.pack("=H108s", socket.AF_UNIX, path.encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: SO_RCVBUFFORCE")
def test_every_node_may_speak_at_once_while_the_loop_is_busy():
    async def work() -> None:
        sock, sender = udp(), udp()
        assert grow_receive_buffer(sock) >= RECEIVE_BUFFER_BYTES
        got: Batch = []
        turns = [0]
        port = await datagrams.listen(sock, got.extend)
        for number in range(10_000):
            sender.sendto(b"%d" % number, sock.getsockname())
        while len(got) < 10_000 and len(turns) < 10_000:
            await asyncio.sleep(0)
            turns.append(len(got))
        assert [datagram for datagram, _ in got] == [b"%d" % number for number in range(10_000)]
        assert {address for _, address in got} == {sender.getsockname()}
        most = max(after - before for before, after in pairwise(turns))
        assert most == datagrams.A_TURN  # and then others have their turn
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
    monkeypatch.setattr(many, "Names", LocalNames)

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


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_many_datagrams_travel_with_one_call_each_with_its_address(family: int, host: str):
    ours = socket.socket(family, socket.SOCK_DGRAM)
    ours.bind((host, 0))
    peers = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(AT_ONCE + 6)]
    for number, peer in enumerate(peers):
        peer.bind((host, 0))
        peer.settimeout(5.0)
        peer.sendto(b"%d" % number * number, ours.getsockname())
    calls = Calls(ours)
    first = calls.receive()
    assert len(first) == AT_ONCE
    batch = first + calls.receive()
    said = [(b"%d" % n * n, peer.getsockname()[:2]) for n, peer in enumerate(peers)]
    assert batch == said
    assert calls.receive() == []
    answers = [(b"to " + datagram, address) for datagram, address in reversed(batch)]
    assert calls.send(answers) == AT_ONCE
    assert calls.send(answers[AT_ONCE:]) == 6
    assert [peer.recv(2000) for peer in peers] == [b"to " + datagram for datagram, _ in said]
    for each in (ours, *peers):
        each.close()


def test_a_datagram_that_is_too_long_for_the_protocol_stays_too_long():
    ours, peer = udp(), udp()
    for size in (DATAGRAM_MAX_BYTES, DATAGRAM_MAX_BYTES + 1, 60_000):
        peer.sendto(bytes(size), ours.getsockname())
    sizes = [len(datagram) for datagram, _ in Calls(ours).receive()]
    assert sizes == [DATAGRAM_MAX_BYTES, DATAGRAM_MAX_BYTES + 1, SLOT_BYTES]
    ours.close()
    peer.close()


def test_an_address_that_is_none_holds_up_nobody():
    ours, peer = udp(), udp()
    calls = Calls(ours)
    known = peer.getsockname()
    batch: Batch = [(b"a", known), (b"b", ("::1", 5)), (b"c", ("localhost", known[1]))]
    assert calls.send(batch) == 1
    with pytest.raises(OSError):
        calls.send(batch[1:])
    assert calls.send(batch[2:]) == 1
    assert [peer.recv(10) for _ in range(2)] == [b"a", b"c"]
    ours.close()
    peer.close()


def test_addresses_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(many, "KNOWN_MAX", 10)
    names = Names(socket.AF_INET)
    for number in range(25):
        address = "10.77.0.1", number
        assert names.readable[names.packed[address]] == address
    assert max(len(names.readable), len(names.packed)) <= 10


def test_a_socket_that_the_calls_do_not_work_on_is_told_at_once():
    closed = udp()
    closed.close()
    with pytest.raises(OSError):
        Calls(closed)
