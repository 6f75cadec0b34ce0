"""The part of protobuf that the sync needs, in little memory, for nodes without the library.

The library costs an agent six of its thirty megabytes. ``Message`` has the few methods of the
library's messages that ``kedge.sync`` uses, and the same bytes; the library is its oracle in the
tests. It is slow, which one heartbeat in ten seconds does not mind; a head uses the library.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

UINT32, UINT64, BOOL, ENUM, FIXED32, STRING, BYTES, OPTIONAL_BYTES, ENUMS = range(9)
Kind = Any  # one of the above, a Message class, or a one-element list of it: repeated

_VARINT, _LENGTH, _FIXED32, _FIXED64 = 0, 2, 5, 1
_DEFAULTS: dict[int, Any] = {
    UINT32: 0, UINT64: 0, BOOL: False, ENUM: 0, FIXED32: 0, STRING: "", BYTES: b"",
    OPTIONAL_BYTES: b"",
}  # fmt: skip
_MASKS = {UINT32: 2**32 - 1, UINT64: 2**64 - 1, ENUM: 2**32 - 1, BOOL: 2**64 - 1}


class Repeated(list[Any]):
    """A repeated message field."""

    def __init__(self, kind: type[Message]) -> None:
        super().__init__()
        self._kind = kind

    def add(self, **values: Any) -> Any:
        """Append a new message and return it."""
        self.append(self._kind(**values))
        return self[-1]


class Message:
    """A message: fields by name, the defaults where nothing was set."""

    FIELDS: ClassVar[tuple[tuple[int, str, Kind], ...]] = ()
    _by_name: ClassVar[dict[str, Kind]] = {}
    _by_number: ClassVar[dict[int, tuple[str, Kind]]] = {}
    _set: bool
    _values: dict[str, Any]

    def __init_subclass__(cls) -> None:
        cls._by_name = {name: kind for _, name, kind in cls.FIELDS}
        cls._by_number = {number: (name, kind) for number, name, kind in cls.FIELDS}

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "_set", False)
        for name, value in values.items():
            kind = self._by_name[name]
            if isinstance(value, Message):
                getattr(self, name).CopyFrom(value)
            elif isinstance(kind, list) or kind == ENUMS:
                getattr(self, name).extend(value)
            else:
                setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in self._by_name:
            raise AttributeError(name)
        kind = self._by_name[name]
        if name not in self._values:
            if isinstance(kind, list):
                self._values[name] = Repeated(cast(list[type[Message]], kind)[0])
            elif kind == ENUMS:
                self._values[name] = []
            elif isinstance(kind, type):
                self._values[name] = kind()
            else:
                return _DEFAULTS[kind]
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self._by_name[name]
        if kind in (STRING, BYTES, OPTIONAL_BYTES):
            if not isinstance(value, str if kind == STRING else bytes):
                raise TypeError(f"{name} cannot be {type(value).__name__}")
        elif not 0 <= value <= _MASKS.get(kind, 2**32 - 1):
            raise ValueError(f"{name} is out of range")
        self._values[name] = value
        self.SetInParent()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.SerializeToString() == other.SerializeToString()

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def SetInParent(self) -> None:
        """Be present in the message that this one is a field of."""
        object.__setattr__(self, "_set", True)

    def CopyFrom(self, other: Message) -> None:
        """Become equal to ``other``."""
        self.ParseFromString(other.SerializeToString())
        self.SetInParent()

    def HasField(self, name: str) -> bool:
        """Whether a message or optional field is present."""
        value = self._values.get(name)
        return value._present() if isinstance(value, Message) else value is not None

    def _present(self) -> bool:
        return self._set or any(
            value._present() if isinstance(value, Message) else value not in (0, "", b"", [])
            for value in self._values.values()
        )

    def ByteSize(self) -> int:
        """The length of ``SerializeToString``."""
        return len(self.SerializeToString())

    def SerializeToString(self) -> bytes:
        """The bytes, fields in the order of their numbers."""
        return b"".join(
            _field(number, kind, self._values[name])
            for number, name, kind in sorted(self.FIELDS, key=lambda row: row[0])
            if name in self._values
        )

    @classmethod
    def FromString(cls, blob: bytes) -> Any:
        """A message out of its bytes."""
        message = cls()
        message.ParseFromString(blob)
        return message

    def ParseFromString(self, blob: bytes) -> int:
        """Take the fields out of ``blob``; ValueError when it is not a message."""
        self._values.clear()
        self._merge(blob)
        return len(blob)

    def _merge(self, blob: bytes) -> None:
        place = 0
        while place < len(blob):
            tag, place = _varint(blob, place)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 2**29:
                raise ValueError("a field without a number")
            start = place
            if wire_type == _VARINT:
                value, place = _varint(blob, place)
            elif wire_type == _LENGTH:
                length, start = _varint(blob, place)
                place = start + length
                value = blob[start:place]
            elif wire_type in (_FIXED32, _FIXED64):
                place = start + (4 if wire_type == _FIXED32 else 8)
                value = int.from_bytes(blob[start:place], "little")
            else:
                raise ValueError("a wire type that is not in use")
            if place > len(blob):
                raise ValueError("cut short")
            if number in self._by_number:
                self._take(*self._by_number[number], wire_type, value)

    def _take(self, name: str, kind: Kind, wire_type: int, value: Any) -> None:
        if isinstance(kind, (list, type)):
            if wire_type == _LENGTH:
                message = getattr(self, name)
                message = message.add() if isinstance(message, Repeated) else message
                message._merge(value)
                message.SetInParent()
        elif kind == ENUMS:
            if wire_type == _VARINT:
                getattr(self, name).append(value & _MASKS[ENUM])
            elif wire_type == _LENGTH:
                place = 0
                while place < len(value):
                    each, place = _varint(value, place)
                    getattr(self, name).append(each & _MASKS[ENUM])
        elif kind in (STRING, BYTES, OPTIONAL_BYTES):
            if wire_type == _LENGTH:
                self._values[name] = value.decode() if kind == STRING else value
        elif wire_type == (_FIXED32 if kind == FIXED32 else _VARINT):
            value &= _MASKS.get(kind, 2**32 - 1)
            self._values[name] = bool(value) if kind == BOOL else value


def _varint(blob: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(blob):
            raise ValueError("cut short")
        byte = blob[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), place
    raise ValueError("a number that does not end")


def packed(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, kind: Kind, value: Any) -> bytes:
    """A field with its tag; nothing for a default."""
    if isinstance(kind, list):
        return b"".join(framed(number, each.SerializeToString()) for each in value)
    if isinstance(kind, type):
        return framed(number, value.SerializeToString()) if value._present() else b""
    if kind == ENUMS:
        return framed(number, b"".join(map(packed, value))) if value else b""
    if kind != OPTIONAL_BYTES and not value:
        return b""
    if kind in (STRING, BYTES, OPTIONAL_BYTES):
        return framed(number, value.encode() if kind == STRING else value)
    if kind == FIXED32:
        return packed(number << 3 | _FIXED32) + value.to_bytes(4, "little")
    return packed(number << 3 | _VARINT) + packed(int(value))


def framed(number: int, blob: bytes) -> bytes:
    return packed(number << 3 | _LENGTH) + packed(len(blob)) + blob
