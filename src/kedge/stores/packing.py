"""Sets of nodes as bytes: sorted numbers, or, where that is shorter, a map of bits.

Little-endian throughout, so that a file may move between machines. Roaring bitmaps would do the same
and more; two forms are enough for sets that are written once and never combined.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint32]

U32 = np.dtype("<u4")
LIST, BITS = b"\0", b"\1"


def pack(numbers: Numbers) -> bytes:
    """A set of numbers, given in any order and without doubles, as bytes."""
    ordered = np.sort(numbers)
    if len(ordered) > 1:
        base = int(ordered[0]) & ~7
        span_bytes = (int(ordered[-1]) - base) // 8 + 1
        if span_bytes < 4 * (len(ordered) - 1):
            bits = np.zeros(span_bytes * 8, np.uint8)
            bits[ordered - base] = 1
            packed = np.packbits(bits, bitorder="little").tobytes()
            return BITS + base.to_bytes(4, "little") + packed
    return LIST + ordered.astype(U32, copy=False).tobytes()


def pack_one(number: int) -> bytes:
    """`pack` of a single number, as most entries of a small cluster have."""
    return LIST + number.to_bytes(4, "little")


def unpack(packed: bytes) -> Numbers:
    """The numbers, ascending."""
    if packed[:1] == LIST:
        return np.frombuffer(packed, U32, offset=1)
    base, bits = _bits(packed)
    return (np.flatnonzero(np.unpackbits(bits, bitorder="little")) + base).astype(U32)


def _bits(packed: bytes) -> tuple[int, NDArray[np.uint8]]:
    return int.from_bytes(packed[1:5], "little"), np.frombuffer(packed, np.uint8, offset=5)


def among(packed: bytes, wanted: Numbers) -> Numbers:
    """Those of ``wanted`` (ascending) that are in the packed set."""
    if packed[:1] == LIST:
        held = np.frombuffer(packed, U32, offset=1)
        few, many = (wanted, held) if len(wanted) < len(held) else (held, wanted)
        if not len(few):
            return few
        places = np.minimum(np.searchsorted(many, few), len(many) - 1)
        return few[many[places] == few]
    base, bits = _bits(packed)
    near = wanted[(wanted >= base) & (wanted < base + 8 * len(bits))]
    places = near - np.uint32(base)
    return near[(bits[places >> 3] >> (places & 7).astype(np.uint8)) & 1 == 1]
