"""Many datagrams with one call: recvmmsg(2) and sendmmsg(2), which Python's sockets do not have.

A call for each datagram costs a parent of ten thousand nodes more than opening what came with it. The
structs are those of the C library, laid out once; per datagram only bytes, a length and an address move.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct

Address = tuple[str, int]
Batch = list[tuple[bytes, Address]]

AT_ONCE = 64
SLOT_BYTES = 1216
"""More than the protocol's longest: what is longer is not ours, and is cut. An odd number of cache
lines, so that the beginnings of all slots find room in the processor's nearest cache."""
KNOWN_MAX = 65_536  # addresses whose forms are remembered


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr: a message, and how many bytes there were."""

    _fields_ = (("message", _Message), ("size", ctypes.c_uint))


_HEADER_INTS = ctypes.sizeof(_Header) // 4
_SIZE_AT = _Header.size.offset // 4
_library = ctypes.CDLL(None, use_errno=True)


class _Slots:
    """Room for so many datagrams, and what the kernel is told of it."""

    def __init__(self, name_bytes: int) -> None:
        data = (ctypes.c_char * (AT_ONCE * SLOT_BYTES))()
        names = (ctypes.c_char * (AT_ONCE * name_bytes))()
        vectors, self.headers = (_Vector * AT_ONCE)(), (_Header * AT_ONCE)()
        for place, (vector, header) in enumerate(zip(vectors, self.headers, strict=True)):
            vector.base = ctypes.addressof(data) + place * SLOT_BYTES
            vector.size = SLOT_BYTES
            message = header.message
            message.name = ctypes.addressof(names) + place * name_bytes
            message.name_size = name_bytes
            message.vectors = ctypes.addressof(vectors) + place * ctypes.sizeof(_Vector)
            message.vector_count = 1
        self.data, self.names = memoryview(data).cast("B"), memoryview(names).cast("B")
        self.sizes_in = memoryview(self.headers).cast("B").cast("I")[_SIZE_AT::_HEADER_INTS]
        self.sizes_out = memoryview(vectors).cast("B").cast("L")  # as size_t is


class Calls:
    """The two calls on one UDP socket. OSError where the kernel, or a sandbox, does not have them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._names = Names(sock.family)
        self._in, self._out = _Slots(self._names.size), _Slots(self._names.size)
        if _library.recvmmsg(sock.fileno(), self._in.headers, 0, socket.MSG_DONTWAIT, None) < 0:
            raise _last_error()

    def receive(self) -> Batch:
        """What has arrived, at most ``AT_ONCE``; nothing where an error of the network is told."""
        slots, size = self._in, self._names.size
        count = _library.recvmmsg(
            self._sock.fileno(), slots.headers, AT_ONCE, socket.MSG_DONTWAIT, None
        )
        batch: Batch = []
        add, data, readable = batch.append, slots.data, self._names.readable
        names = slots.names[: max(0, count) * size].tobytes()
        start = name = 0
        for length in slots.sizes_in[: max(0, count)].tolist():
            add((data[start : start + length].tobytes(), readable[names[name : name + size]]))
            start += SLOT_BYTES
            name += size
        return batch

    def send(self, batch: Batch) -> int:
        """How many of the first ``AT_ONCE`` the kernel took. OSError: it refuses the first."""
        slots, size = self._out, self._names.size
        data, names, sizes, packed = slots.data, slots.names, slots.sizes_out, self._names.packed
        start = name = count = 0
        for datagram, address in batch[:AT_ONCE]:
            try:
                names[name : name + size] = packed[address]
            except OSError:
                if not count:
                    raise
                break
            length = len(datagram)
            data[start : start + length] = datagram
            sizes[count * 2 + 1] = length
            start += SLOT_BYTES
            name += size
            count += 1
        sent = _library.sendmmsg(self._sock.fileno(), slots.headers, count, socket.MSG_DONTWAIT)
        if sent < 0:
            raise _last_error()
        return sent


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


class Names:
    """Addresses as the kernel has them and as people do: each is worked out once."""

    def __init__(self, family: int) -> None:
        layout = struct.Struct("=H2s4s8x" if family == socket.AF_INET else "=H2s4x16sI")
        self.size = layout.size
        self.readable = Readable(family, layout)
        self.packed = Packed(family, layout)


class Readable(dict[bytes, Address]):
    """A struct sockaddr_in or sockaddr_in6 as host and port."""

    def __init__(self, family: int, layout: struct.Struct) -> None:
        super().__init__()
        self._family, self._layout = family, layout

    def __missing__(self, name: bytes) -> Address:
        if len(self) >= KNOWN_MAX:
            self.clear()
        _, port, host, *_ = self._layout.unpack(name)
        address = socket.inet_ntop(self._family, host), int.from_bytes(port, "big")
        self[name] = address
        return address


class Packed(dict[Address, bytes]):
    """The other way round; a host's name is looked up each time. OSError for what is no address."""

    def __init__(self, family: int, layout: struct.Struct) -> None:
        super().__init__()
        self._family, self._layout = family, layout

    def __missing__(self, address: Address) -> bytes:
        if len(self) >= KNOWN_MAX:
            self.clear()
        found = socket.getaddrinfo(*address, self._family, socket.SOCK_DGRAM)[0][4]
        host, port, *more = found  # and, of the sixth version: flow, scope
        packed = socket.inet_pton(self._family, str(host)), int(port).to_bytes(2, "big")
        name = self._layout.pack(self._family, packed[1], packed[0], *more[1:])
        if host == address[0]:
            self[address] = name
        return name
