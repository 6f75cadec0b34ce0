"""Who may ask: the bearer token in a file that only its owner can read, and who the asker is."""

from __future__ import annotations

import hmac
import os
import pwd
import secrets
import socket
import stat
import struct
from pathlib import Path

from kedge.lib.errors import KedgeError

TOKEN_FILE = "api.token"
TOKEN_BYTES = 32
LEAST_TOKEN_CHARACTERS = 20
_UCRED = struct.Struct("3i")


def make_token(state_dir: Path) -> bool:
    """Make ``<state_dir>/api.token`` (0600); False when there is one already."""
    path = state_dir / TOKEN_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    return True


def read_token(state_dir: Path) -> str:
    """The token; raises `KedgeError` when it is missing, short or readable by others."""
    path = state_dir / TOKEN_FILE
    try:
        mode = path.stat().st_mode
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KedgeError(
            "api.token_file", "cannot read the API token", where=str(path), why=str(error),
            next_step="Make one with: kedge init",
        ) from None  # fmt: skip
    if stat.S_IMODE(mode) & 0o077:
        raise KedgeError(
            "api.token_file", "the API token can be read by others", where=str(path),
            next_step=f"Remove it and make another: rm {path} && kedge init",
        )  # fmt: skip
    if len(token) < LEAST_TOKEN_CHARACTERS:
        raise KedgeError(
            "api.token_file", "the API token is too short", where=str(path),
            next_step=f"Remove it and make another: rm {path} && kedge init",
        )  # fmt: skip
    return token


def allowed(header: str, token: str) -> bool:
    """Whether an Authorization header carries the token; takes the same time for every wrong one."""
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return same and scheme.lower() == "bearer"


def peer_name(sock: socket.socket | None) -> str:
    """The user at the other end of a Unix socket, or the address at the other end of TCP."""
    if sock is None:
        return "api"
    if sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        uid = _UCRED.unpack(raw)[1]
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"uid {uid}"
    try:
        return f"api@{sock.getpeername()[0]}"
    except OSError:
        return "api"
