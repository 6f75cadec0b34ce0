"""Ask systemd about itself over its private socket: a few D-Bus messages, no library, no program.

Only what is needed: a call with text arguments, and replies that hold numbers, texts and lists of
them. Little endian. https://dbus.freedesktop.org/doc/dbus-specification.html
"""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType
from typing import Any

_MAX_BYTES = 4 << 20
_CALL, _REPLY, _ERROR = 1, 2, 3
_FIXED = {
    "y": ("B", 1),
    "b": ("I", 4),
    "n": ("h", 2),
    "q": ("H", 2),
    "i": ("i", 4),
    "u": ("I", 4),
    "x": ("q", 8),
    "t": ("Q", 8),
    "d": ("d", 8),
}
_CONTAINERS = {"s": 4, "o": 4, "g": 1, "a": 4, "(": 8, "v": 1, "{": 8}
_ALIGN = {kind: size for kind, (_, size) in _FIXED.items()} | _CONTAINERS

SYSTEMD = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"


class Bus:
    """A connection to systemd's private socket; raises `OSError` when systemd does not answer."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._serial = 0
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
            identity = str(os.geteuid()).encode().hex().encode()
            self._socket.sendall(b"\0AUTH EXTERNAL " + identity + b"\r\nBEGIN\r\n")
            self._expect_ok()
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Bus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def get(self, path: str, interface: str, name: str) -> Any:
        """A property's value."""
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", interface, name)[0]

    def call(self, path: str, interface: str, member: str, *texts: str | list[str]) -> list[Any]:
        """Call a method whose arguments are texts or lists of texts."""
        self._serial += 1
        self._socket.sendall(_pack_call(self._serial, path, interface, member, texts))
        while True:
            kind, answered, values = self._receive()
            if answered == self._serial and kind == _REPLY:
                return values
            if answered == self._serial and kind == _ERROR:
                raise ConnectionError(f"systemd refused {member}: {values[:1]}")

    def _expect_ok(self) -> None:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._exactly(1)
            if len(line) > 256:
                break
        if not line.startswith(b"OK "):
            raise ConnectionError("systemd refused the connection")

    def _receive(self) -> tuple[int, int, list[Any]]:
        """One message: its kind, the serial it answers, its values."""
        head = self._exactly(16)
        order, kind, _, _, body_bytes, _, fields_bytes = struct.unpack("<BBBBIII", head)
        padded = fields_bytes + (-fields_bytes % 8)
        if order != ord("l") or padded + body_bytes > _MAX_BYTES:
            raise ConnectionError("systemd sent a message that cannot be read")
        fields = dict(Reader(head[12:16] + self._exactly(padded), "a(yv)", skew=12).values()[0])
        body = self._exactly(body_bytes)
        return kind, fields.get(5, 0), Reader(body, fields.get(8, "")).values()

    def _exactly(self, count: int) -> bytes:
        pieces = b""
        while len(pieces) < count:
            piece = self._socket.recv(count - len(pieces))
            if not piece:
                raise ConnectionError("systemd closed the connection")
            pieces += piece
        return pieces


class Reader:
    """Decode values by their D-Bus signature."""

    def __init__(self, content: bytes, signature: str, skew: int = 0) -> None:
        """``skew``: where ``content`` begins within the message, for alignment."""
        self._content, self._signature, self._skew, self._at = content, signature, skew, 0

    def values(self) -> list[Any]:
        """All values of the signature; raises `ConnectionError` when they do not fit."""
        found: list[Any] = []
        rest = self._signature
        try:
            while rest:
                kind, rest = _first(rest)
                found.append(self._value(kind))
        except (struct.error, IndexError, KeyError, UnicodeDecodeError) as problem:
            raise ConnectionError(f"systemd sent values that cannot be read: {problem}") from None
        return found

    def _value(self, kind: str) -> Any:
        self._align(_ALIGN[kind[0]])
        if kind in _FIXED:
            code, size = _FIXED[kind]
            (value,) = struct.unpack_from("<" + code, self._content, self._at)
            self._at += size
            return value
        if kind in ("s", "o", "g"):
            size = self._value("y" if kind == "g" else "u")
            text = self._content[self._at : self._at + size].decode()
            self._at += size + 1
            return text
        if kind == "v":
            return self._value(_first(self._value("g"))[0])
        if kind[0] == "a":
            size = self._value("u")
            self._align(_ALIGN[kind[1]])
            end = self._at + size
            items: list[Any] = []
            while self._at < end:
                items.append(self._value(kind[1:]))
            return items
        inner = kind[1:-1]
        parts: list[Any] = []
        while inner:
            part, inner = _first(inner)
            parts.append(self._value(part))
        return tuple(parts)

    def _align(self, size: int) -> None:
        self._at += -(self._at + self._skew) % size


def _first(signature: str) -> tuple[str, str]:
    """The first complete type of a signature, and the rest."""
    if signature[0] == "a":
        kind, rest = _first(signature[1:])
        return "a" + kind, rest
    if signature[0] not in "({":
        return signature[0], signature[1:]
    depth = 0
    for at, letter in enumerate(signature):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0:
            return signature[: at + 1], signature[at + 1 :]
    raise KeyError(signature)


def _pack_call(
    serial: int, path: str, interface: str, member: str, arguments: tuple[str | list[str], ...]
) -> bytes:
    signature = "".join("s" if isinstance(a, str) else "as" for a in arguments)
    body = b""
    for argument in arguments:
        if isinstance(argument, str):
            body = _text(body, argument)
        else:
            inner = b""
            for item in argument:
                inner = _text(inner, item)
            body = _pad(body, 4) + struct.pack("<I", len(inner)) + inner
    fields = b""
    for code, kind, value in (
        (1, "o", path),
        (2, "s", interface),
        (3, "s", member),
        (6, "s", "org.freedesktop.systemd1"),
    ):
        fields = _text(_pad(fields, 8) + bytes([code, 1, ord(kind), 0]), value)
    if signature:
        fields = _pad(fields, 8) + bytes([8, 1, ord("g"), 0, len(signature)])
        fields += signature.encode() + b"\0"
    head = struct.pack("<BBBBIII", ord("l"), _CALL, 0, 1, len(body), serial, len(fields))
    return _pad(head + fields, 8) + body


def _text(before: bytes, text: str) -> bytes:
    encoded = text.encode()
    return _pad(before, 4) + struct.pack("<I", len(encoded)) + encoded + b"\0"


def _pad(content: bytes, size: int) -> bytes:
    return content + b"\0" * (-len(content) % size)
