"""The header, the parsers and the key schedule against what RFCs and the reference page say."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kedge.sync import keys, wire
from kedge.sync.keys import ReplayWindow
from kedge.sync.wire import Epoch, Kind


def test_header_has_sixteen_bytes_in_network_order():
    packed = wire.pack_header(Kind.SEALED, 0x01020304, 5, version=1)
    assert packed.hex() == "4b010400" + "01020304" + "0000000000000005"
    assert wire.parse_header(packed) == (1, Kind.SEALED, 0x01020304, 5)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"K",
        bytes(16),
        b"\x4b\x01\x00\x00" + bytes(12),
        b"\x4b\x01\x06\x00" + bytes(12),
        b"\x4b\x02\x01\x00" + bytes(12),  # a handshake has but one form
        b"\x4b\x01\x04\x00" + bytes(1197),  # too long
    ],
)
def test_what_is_not_ours_has_no_header(datagram: bytes):
    assert wire.parse_header(datagram) is None


def test_unknown_flags_are_ignored():
    assert wire.parse_header(b"\x4b\x01\x04\xff" + bytes(12)) is not None


def test_epochs_read_print_and_compare():
    assert Epoch.parse("3.17") == (3, 17)
    assert str(Epoch(3, 17)) == "3.17"
    assert Epoch(2, 99) < Epoch(3, 0) < Epoch(3, 1)
    for bad in ("", "3", "3.", ".1", "3.x", "-1.2", "1.2.3", f"{2**63}.0"):
        with pytest.raises(ValueError, match="epoch"):
            Epoch.parse(bad)


@pytest.mark.parametrize("length", [16, 32, 100])
def test_key_expansion_is_hkdf(length: int):
    oracle = HKDF(SHA256(), length, salt=b"salt" * 8, info=b"info")
    assert keys.expand(b"key" * 11, b"salt" * 8, b"info", length) == oracle.derive(b"key" * 11)


def test_a_point_of_small_order_gives_no_keys():
    private, _ = keys.new_key_pair(bytes)
    assert keys.derive(bytes(32), private, bytes(32), b"hello", b"welcome") is None


def test_each_counter_is_accepted_once_and_not_when_too_old():
    window = ReplayWindow()
    for counter in (5, 3, 4, 2000, 1500):
        assert window.fresh(counter)
        assert window.mark(counter) == (counter in (5, 2000))
        assert not window.fresh(counter)
    assert window.fresh(1499)
    assert not window.fresh(2000 - ReplayWindow.SIZE)
    assert window.fresh(2000 - ReplayWindow.SIZE + 1)


def test_a_run_of_counters_is_as_good_as_marking_each():
    rng = random.Random(3)
    for _ in range(200):
        one, other = ReplayWindow(), ReplayWindow()
        for _ in range(rng.randrange(1, 60)):
            if rng.random() < 0.5:
                for _ in range(rng.choice([1, 5, 1500])):
                    one.mark(one.newest + 1)
                other.mark_all_before(one.newest + 1)
            else:
                counter = max(0, one.newest + rng.randrange(-1100, 40))
                assert one.fresh(counter) == other.fresh(counter)
                if one.fresh(counter):
                    assert one.mark(counter) == other.mark(counter)
        for counter in range(max(0, one.newest - 1030), one.newest + 3):
            assert one.fresh(counter) == other.fresh(counter)
