"""Reports that say the next thing and nothing else, read and acknowledged without a message being made.

A child at rest that has something to tell sends the next version of its record, in the next transfer, in
one part, and all else is as it was. So all of such a report but the hash, the names and the values is known
before it comes; even the lengths, since each message in it ends where the datagram ends. What came is
compared with that. Whatever differs in one byte (two parts, a long value, a doubt about our record) is left
to the ordinary way.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kedge.sync import wire
from kedge.sync.digest import Entry
from kedge.sync.events import Discovered
from kedge.sync.exchange import Exchange
from kedge.sync.small import framed, packed
from kedge.sync.v1 import sync_pb2 as pb

BELOW = 1 << 31
"""Versions and transfers from here on are left to the ordinary way: it knows where numbers end."""
_HASH = bytes(wire.HASH_BYTES)


class _Version(NamedTuple):
    """How the next version of a record is spoken of, each time as far as the first byte that is not known."""

    status: bytes  # Frame.status, as far as its hash
    record: bytes  # Record.base and version
    entry: bytes  # Entry.version and the tag of its value
    held: bytes  # Frame.held of the answer
    doubtful: bytes  # the same with a doubt


@lru_cache(4096)
def _version(version: int) -> _Version:
    said, status = packed(version), pb.Status(version=version, hash=_HASH)
    return _Version(
        pb.Frame(status=[status]).SerializeToString().removesuffix(_HASH),
        pb.Record(base=version - 1, version=version).SerializeToString(),
        b"\x10" + said + b"\x1a",
        pb.Frame(held=[pb.Held(version=version)]).SerializeToString(),
        pb.Frame(held=[pb.Held(version=version, doubtful=True)]).SerializeToString(),
    )


@lru_cache(4096)
def _transfer(number: int) -> tuple[bytes, bytes]:
    """A transfer's only part, as far as its length, and Frame.fragment_ack of the answer."""
    ack = pb.FragmentAck(transfer=number, next=1)
    part = pb.Fragment(transfer=number, count=1).SerializeToString() + b"\x22"
    return part, pb.Frame(fragment_ack=ack).SerializeToString()


def _up_to_the_end(left: int) -> bytes:
    """The length of what is last among ``left`` bytes, as it stands before it. Where none fits: more bytes
    than are left, so that nothing is like them."""
    length = left - 1 if left <= 0x80 else left - 2
    said = packed(max(0, length))
    return said if len(said) + length == left else bytes(left + 1)


_LENGTHS = tuple(map(_up_to_the_end, range(wire.DATAGRAM_MAX_BYTES + 1)))


def reports_of(node: str, exchange: Exchange) -> Reports | None:
    """What the child of an exchange at rest may report next; None where it is not known to be in step."""
    return Reports(node, exchange) if exchange.in_step else None


class Reports:
    """What one child at rest may report next. Who is to read or write its exchange must `settle` this first.

    What a report changes lies together here, as in a pulse.
    """

    __slots__ = (
        "_exchange",
        "_held",
        "_incoming",
        "_node",
        "_record",
        "_transfer",
        "_tree",
        "epoch",
    )

    def __init__(self, node: str, exchange: Exchange) -> None:
        self._node = node
        self._exchange = exchange
        self._incoming = exchange.incoming
        self._transfer = exchange.receiving.number
        self._tree = exchange.tree
        self.epoch = exchange.epoch
        held = pb.Held()
        exchange.fill_stamp(held, exchange.outgoing.stamp)
        self._held = pb.Frame(held=[held]).SerializeToString() + b"\x22"
        epoch = pb.Epoch(term=exchange.epoch.term, counter=exchange.epoch.counter)
        self._record = framed(3, epoch.SerializeToString())

    def read(self, plain: bytes) -> tuple[Discovered, bytes] | None:
        """Take in a report: what it changes, and its acknowledgement. None: nothing was taken in, the
        ordinary way is to read it."""
        incoming, number = self._incoming, self._transfer + 1
        version = incoming.stamp.version + 1
        if incoming.doubtful or not 1 < version < BELOW > number or len(plain) >= len(_LENGTHS):
            return None
        known, (fragment, ack) = _version(version), _transfer(number)
        place = len(known.status) + wire.HASH_BYTES
        left = len(plain) - place - len(self._held)
        fragment = _LENGTHS[left] + fragment
        left -= len(fragment)
        update = _LENGTHS[left] + b"\x0a"
        left -= len(update)
        awaited = self._held + fragment + update + _LENGTHS[left] + self._record + known.record
        if not plain.startswith(known.status) or not plain.startswith(awaited, place):
            return None
        entries = self._entries(plain, place + len(awaited), version, known.entry)
        if entries is None:
            return None
        self._transfer = number
        changes = incoming.follow(entries)
        doubts = incoming.compare(
            incoming.stamp, plain[place - wire.HASH_BYTES : place], tree=self._tree
        )
        event = Discovered(self._node, self.epoch, changes, full=False)
        return event, (known.doubtful if doubts else known.held) + ack

    def settle(self) -> None:
        """Let the exchange know what it would, had all gone the ordinary way."""
        if self._transfer > self._exchange.receiving.number:
            self._exchange.receiving.took_whole(self._transfer)

    @staticmethod
    def _entries(
        plain: bytes, place: int, version: int, middle: bytes
    ) -> list[tuple[str, Entry]] | None:
        """The entries from ``place`` on; None where one is long, or unknown now, or no entry at all."""
        entries: list[tuple[str, Entry]] = []
        try:
            while place < len(plain):
                tag, length, name_tag, name_length = plain[place : place + 4]
                end, place = place + 2 + length, place + 4
                named = place + name_length
                name, value = plain[place:named].decode(), named + len(middle) + 1
                lead = middle + bytes((end - value,))
                if tag != 0x32 or length >= 0x80 or name_tag != 0x0A or not name:
                    return None
                if plain[named:value] != lead:
                    return None
                entries.append((name, Entry(plain[value:end], version)))
                place = end
        except ValueError:  # cut short, or lengths that cannot be, or no text
            return None
        return entries if place == len(plain) else None
