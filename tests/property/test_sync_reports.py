"""Reports that are read as bytes do to a parent what those do that are read as messages, and get the same
answers to the last byte: two parents with the same keys hear the same, one of them without the short way."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.sync import report, small
from kedge.sync.child import Child
from kedge.sync.digest import Entry, Hashes
from kedge.sync.parent import Parent, ParentOptions
from kedge.sync.reception import Reception
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import DATAGRAM_MAX_BYTES, HEADER_BYTES, SEAL_BYTES, Epoch
from unit.sync.sync_world import FIRST, TOKEN

NAMES = ("a", "b", "c", "naïve", "x" * 100)
PLAIN_MAX_BYTES = DATAGRAM_MAX_BYTES - HEADER_BYTES - SEAL_BYTES


class Pair:
    """A child and the two parents; what one does and the other does not fails."""

    def __init__(
        self, seed: int, configured: Epoch | None = FIRST, names: Iterable[str] = NAMES
    ) -> None:
        self.now = 0.0
        self.parents = [parent(seed, configured) for _ in range(2)]
        self.short, long = (each._reception for each in self.parents)
        long._read_report = lambda *_: None
        self.taken = 0
        ordinary = self.short._read_report

        def counted(*args: object) -> bytes | None:
            answer = ordinary(*args)
            self.taken += answer is not None
            return answer

        self.short._read_report = counted
        rng = random.Random(seed)
        self.child = Child(
            "n1", FIRST, ["head"], token=TOKEN, random_bytes=rng.randbytes, chance=rng
        )
        self.child.discover(dict.fromkeys(names, b"1"))
        for _ in range(5):
            self.pump()
        self.beat()
        assert self.child.in_step or not names

    def beat(self) -> None:
        """A heartbeat goes round: both ends are at rest after it."""
        self.child._beat.at = self.now
        self.pump()

    def pump(self) -> None:
        """What the child has to say goes to the parents, their answers to the child."""
        for datagram, _ in self.child.datagrams_to_send(self.now):
            for answer in self.hear(datagram):
                self.child.receive_datagram(answer, "head", self.now)

    def hear(self, datagram: bytes) -> list[bytes]:
        """Both parents get a datagram; says what both answer."""
        self.now += 0.01
        answers: list[object] = []
        told: list[object] = []
        for each in self.parents:
            each.receive([(datagram, "n1")], self.now)
            told.append([*each._events])
            each._events.clear()
            answers.append(each.datagrams_to_send(self.now))
        assert told[0] == told[1]
        assert answers[0] == answers[1]
        assert state(self.parents[0]) == state(self.parents[1])
        return [answer for answer, _ in answers[0]]

    def say(self, plain: bytes) -> None:
        """The child says this, whatever it is, under its keys."""
        assert self.child._sessions.live is not None
        self.hear(self.child._sessions.live[0].seal(plain))

    def awaited(self, values: dict[str, bytes]) -> pb.Frame:
        """The report that the parents wait for, with these values; its update is in ``fragment.part``."""
        known = self.parents[0]._nodes["n1"]
        link = self.parents[0]._links.get(known.current)
        assert link is not None
        base, entries = known.incoming.stamp.version, dict(known.incoming.entries)
        record = pb.Record(base=base, version=base + 1)
        record.epoch.term, record.epoch.counter = FIRST
        for name, value in values.items():
            record.entries.add(name=name, version=base + 1, value=value)
            entries[name] = Entry(value, base + 1)
        frame = pb.Frame()
        frame.status.add(version=base + 1, hash=Hashes().flat(entries))
        link.exchange.fill_stamp(frame.held.add(), known.outgoing.stamp)
        frame.fragment.transfer = (link.exchange.receiving.number + 1) % 2**32
        frame.fragment.count = 1
        frame.fragment.part = pb.Update(records=[record]).SerializeToString()
        return frame

    def heartbeat(self) -> pb.Frame:
        """What a child says that has nothing to tell: the parents are at rest after it."""
        frame = self.awaited({})
        frame.status[0].version -= 1
        return pb.Frame(ask=True, status=frame.status, held=frame.held)

    def configure(self, entries: dict[str, bytes]) -> None:
        """Both parents have something to say."""
        for each in self.parents:
            each.set_configured("n1", entries, FIRST)
        said = [each.datagrams_to_send(self.now) for each in self.parents]
        assert said[0] == said[1]


def parent(seed: int, configured: Epoch | None) -> Parent:
    """A parent that draws its keys from the seed."""
    rng = random.Random(seed)
    made = Parent(
        incarnation=Epoch(0, 0), random_bytes=rng.randbytes, chance=rng, options=ParentOptions(1e6)
    )
    made.admit("n1", FIRST, TOKEN, 1e9)
    if configured is not None:
        made.set_configured("n1", {"c": b"1"}, configured)
    return made


def state(parent: Parent) -> object:
    """All that a report can change."""
    known = parent._nodes["n1"]
    link = parent._links.get(known.current)
    if link is None:
        return None
    parent._links.pulses.settle(link)
    incoming, session, receiving = known.incoming, link.session, link.exchange.receiving
    window = [session.window.fresh(session.window.newest - back) for back in range(40)]
    return (
        incoming.stamp, list(incoming.entries.items()), incoming.doubtful, incoming.hash,
        session.heard_at, session.counter, session.window.newest, window, session.state,
        receiving.number, receiving._next, receiving._count, receiving._parts,
        link.exchange.in_step, link.exchange.is_quiet,
    )  # fmt: skip


def bend(frame: pb.Frame, rng: random.Random) -> None:
    """One thing in a report is not what is awaited."""
    update = pb.Update.FromString(frame.fragment.part)
    record = update.records[0]
    number = rng.choice([0, 1, 2, 127, 128, 2**31, 2**32 - 1])
    match rng.randrange(16):
        case 0:
            frame.status[0].version = number
        case 1:
            frame.status[0].hash = rng.randbytes(rng.choice([0, 16, 16, 16, 17]))
        case 2:
            frame.held[0].version = number
        case 3:
            frame.held[0].doubtful = True
        case 4:
            frame.fragment.transfer = rng.choice([number, frame.fragment.transfer + 1])
        case 5:
            frame.fragment.count, frame.fragment.index = rng.choice([(2, 0), (2, 1), (1, 1)])
        case 6:
            record.base = rng.choice([number, record.base - 1])
        case 7:
            record.version += rng.choice([-1, 1])
        case 8:
            record.epoch.counter = number
        case 9:
            record.entries.add(name=rng.choice(["a", "new", "", "x" * 256]), version=record.version)
        case 10:
            record.entries.add(name="b", version=record.version + rng.choice([-1, 1]), value=b"?")
        case 11:
            frame.ask = True
        case 12:
            frame.fragment_ack.transfer = 1
        case 13:
            frame.status.add(version=record.version, hash=bytes(16))
        case 14:
            update.records.add(base=record.version, version=record.version + 1)
        case _:
            record.node = rng.choice(["n1", "n2"])
    frame.fragment.part = update.SerializeToString()


def bent_bytes(plain: bytes, rng: random.Random) -> bytes:
    """Some bytes are lost, changed, or more."""
    place = rng.randrange(len(plain))
    match rng.randrange(4):
        case 0:
            return plain[:place]
        case 1:
            return (
                plain[:place] + bytes([plain[place] ^ 1 << rng.randrange(8)]) + plain[place + 1 :]
            )
        case 2:
            return plain + plain[place:]
        case _:
            return plain[:place] + rng.randbytes(rng.choice([1, 2])) + plain[place:]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_reports_bent_and_straight(seed: int):
    rng = random.Random(seed)
    pair = Pair(seed)
    for _ in range(25):
        if not pair.parents[0].is_attached("n1"):  # a bent byte was a good-bye
            break
        if rng.random() < 0.4:
            heartbeat = pair.heartbeat()
            if rng.random() < 0.2:
                heartbeat.held[0].epoch.term = rng.randrange(9)
            pair.say(heartbeat.SerializeToString())
        chosen = rng.sample(NAMES, rng.choice([0, 1, 1, 1, 2, 4]))
        frame = pair.awaited({name: rng.randbytes(rng.choice([0, 1, 20, 60])) for name in chosen})
        if rng.random() < 0.25:
            bend(frame, rng)
        plain = frame.SerializeToString()
        if rng.random() < 0.25:
            plain = bent_bytes(plain, rng)
        pair.say(plain[:PLAIN_MAX_BYTES])
        if rng.random() < 0.1:
            pair.configure({"c": rng.randbytes(2)})


@pytest.mark.parametrize("configured", [FIRST, Epoch(3, 0), None])
def test_lengths_and_numbers_of_one_byte_and_of_two(configured: Epoch | None):
    pair = Pair(1, configured)
    for size in (*range(400), 1300):
        before = pair.taken
        pair.say(pair.awaited({"a": b"x" * size, "c": b"%d" % size}).SerializeToString())
        is_short = size <= 120  # then the entry is longer than a byte can say
        assert (pair.taken > before) == is_short, size
        pair.say(pair.heartbeat().SerializeToString())
    for size in range(200):
        values = {"a": bytes(size // 2), "b": bytes(size // 3)}
        pair.say(pair.awaited(values).SerializeToString())
    assert pair.taken > 300


def test_any_bit_that_differs():
    sample = Pair(5).awaited({"a": b"23"}).SerializeToString()
    for place in range(len(sample) * 8):
        pair = Pair(5)
        plain = bytearray(pair.awaited({"a": b"23"}).SerializeToString())
        plain[place // 8] ^= 1 << place % 8
        pair.say(bytes(plain))


def test_lengths_that_are_not_true():
    """The last entry does not end where the report does, or says a long length in one byte."""
    for more in (-2, -1, 1, 2):
        pair = Pair(6)
        plain = bytearray(pair.awaited({"a": b"x" * 60}).SerializeToString())
        plain[-61] += more
        plain[-61 - 7] += more
        assert plain[-61 - 8 : -61] == bytes([0x32, 67 + more]) + b"\n\1a\x10\2\x1a"
        pair.say(bytes(plain))
        assert pair.taken == 0
    pair = Pair(6)
    plain = pair.awaited({"a": b"x" * 159}).SerializeToString()
    pair.say(plain[:-170] + b"\x32\xa8\n\1a\x10\2\x1a\xa1" + b"x" * 161)
    assert pair.taken == 0
    for left, length in enumerate(report._LENGTHS):
        if len(length) > left:
            assert left in (0, 129)
        else:
            said, place = small._varint(length, 0)
            assert place + said == left


def test_a_name_that_is_none():
    pair = Pair(9)
    plain = pair.awaited({"": b"1234"}).SerializeToString()
    pair.say(plain[:-8] + b"\n\0\x10\2\x1a\2" + b"12")
    assert pair.taken == 0


def test_the_first_report_is_all_of_the_record():
    pair = Pair(7, names=())
    pair.say(pair.awaited({"a": b"1"}).SerializeToString())
    assert pair.taken == 0
    assert pair.parents[0].discovered("n1") == {"a": b"1"}


def test_a_child_that_follows_another_owner_comes_back():
    pair = Pair(8)
    heartbeat = pair.heartbeat()
    heartbeat.held[0].epoch.term = 9
    pair.say(heartbeat.SerializeToString())
    pair.say(pair.awaited({"a": b"2"}).SerializeToString())
    assert pair.taken == 0


def test_a_child_reports_and_is_told_that_it_came(monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    ordinary = Reception._read

    def noted(self: Reception, link: object, counter: int, *rest: object, **more: object) -> None:
        read.append(counter)
        ordinary(self, link, counter, *rest, **more)

    pair = Pair(2)
    monkeypatch.setattr(Reception, "_read", noted)
    for turn in range(300):
        pair.child.set_discovered("b", b"%d" % turn)
        pair.pump()
        assert pair.child.in_step
    assert len(read) == 300  # of the parent without the short way
    assert pair.taken == 300


def test_no_more_events_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge.sync.reception.EVENTS_MAX", 0)
    pair = Pair(3)
    pair.say(pair.awaited({"a": b"2"}).SerializeToString())
    assert pair.taken == 0


def test_numbers_near_their_end_are_left_to_the_ordinary_way(monkeypatch: pytest.MonkeyPatch):
    pair = Pair(4)
    version = pair.parents[0]._nodes["n1"].incoming.stamp.version
    monkeypatch.setattr(report, "BELOW", version + 1)
    pair.say(pair.awaited({"a": b"2"}).SerializeToString())
    assert pair.taken == 0
