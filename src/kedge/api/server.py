"""Where the API listens: always on a Unix socket of the owner's, on TCP when the settings say so."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from kedge.api.access import make_token, read_token
from kedge.api.app import make_app
from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.master.operations.operations import Operations
    from kedge.master.process.settings import Settings

log = logging.getLogger("kedge.api")

BACKLOG = 256
SHUTDOWN_S = 5.0


@asynccontextmanager
async def api_serving(operations: Operations, settings: Settings) -> AsyncGenerator[None]:
    """The API, for as long as the block lasts; raises `KedgeError` when it cannot listen."""
    make_token(settings.state_dir)
    app = make_app(operations, read_token(settings.state_dir))
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=75.0, shutdown_timeout=SHUTDOWN_S,
        max_line_size=16_384, max_field_size=8190, max_headers=64,
    )  # fmt: skip
    listening: list[socket.socket] = []
    await runner.setup()
    try:
        listening.append(unix_socket(settings.api_socket))
        if settings.api_listen:
            listening.append(tcp_socket(settings.api_listen))
        for sock in listening:
            await web.SockSite(runner, sock, backlog=BACKLOG).start()
        yield
    finally:
        await runner.cleanup()
        for sock in listening:
            sock.close()
        if listening:
            settings.api_socket.unlink(missing_ok=True)


def unix_socket(path: Path) -> socket.socket:
    """A bound socket that only its owner can reach; what an earlier run left there is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    earlier_umask = os.umask(0o177)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise KedgeError(
            "api.socket", "cannot listen on the Unix socket", where=str(path), why=str(error),
            next_step="Set api.socket to another path (at most 107 characters)",
        ) from error  # fmt: skip
    finally:
        os.umask(earlier_umask)
    return sock


def tcp_socket(listen: str) -> socket.socket:
    """A bound TCP socket for ``127.0.0.1:8470`` or ``[::1]:8470``."""
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        raise KedgeError(
            "api.listen", f"{listen!r} is not an address with a port", where="api.listen",
            next_step="Write it like 127.0.0.1:8470 or [::1]:8470",
        ) from None  # fmt: skip
    if not address.is_loopback:
        log.warning("the API listens on %s without TLS: put a TLS proxy before it", listen)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((str(address), number))
    except (OSError, OverflowError) as error:
        sock.close()
        raise KedgeError(
            "api.listen", f"cannot listen on {listen}", why=str(error),
            next_step=f"See who has it with: ss -tlpn 'sport = :{port}'",
        ) from error  # fmt: skip
    return sock
