"""Where Kedge is and how to prove oneself: from the environment, or from the head's configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kedge.lib.errors import KedgeError

TOKEN_FILE = "api.token"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Unix socket (``socket``) or a URL, and the file that holds the token."""

    token_file: Path
    socket: Path | None = None
    url: str = ""

    def __str__(self) -> str:
        return str(self.socket) if self.socket else self.url

    def token(self) -> str:
        """The token; raises `KedgeError` when the file cannot be read."""
        try:
            return self.token_file.read_text("ascii").strip()
        except FileNotFoundError:
            raise KedgeError(
                "client.token", "there is no API token", where=str(self.token_file),
                next_step="Make one with kedge init, or set KEDGE_TOKEN_FILE",
            ) from None  # fmt: skip
        except (OSError, UnicodeDecodeError) as error:
            raise KedgeError(
                "client.token", "cannot read the API token", where=str(self.token_file),
                why=error.strerror if isinstance(error, OSError) and error.strerror else str(error),
                next_step="Run the command as the user that runs kedge serve (sudo kedge ...)",
            ) from None  # fmt: skip


def find_endpoint(
    api: str = "", config: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Endpoint:
    """``api`` or ``$KEDGE_API`` (a socket's path or an http URL), else the configuration's socket.

    Raises `KedgeError` for what cannot be understood.
    """
    chosen = api or environment.get("KEDGE_API", "")
    token_file = environment.get("KEDGE_TOKEN_FILE", "")
    if chosen and token_file:
        return _given(chosen, Path(token_file))
    from kedge.master.process.settings import read_settings

    settings = read_settings(config)
    token = Path(token_file) if token_file else settings.state_dir / TOKEN_FILE
    if chosen:
        return _given(chosen, token)
    return Endpoint(token, socket=settings.api_socket)


def _given(api: str, token_file: Path) -> Endpoint:
    if api.startswith("/"):
        return Endpoint(token_file, socket=Path(api))
    parts = urlsplit(api)
    if parts.scheme == "unix" and parts.path:
        return Endpoint(token_file, socket=Path(parts.path))
    if parts.scheme in ("http", "https") and parts.netloc:
        return Endpoint(token_file, url=api.rstrip("/"))
    raise KedgeError(
        "client.endpoint", f"{api!r} is neither a socket nor a URL", where="KEDGE_API",
        next_step="Write it like /var/lib/kedge/api.sock or http://127.0.0.1:8470",
    )  # fmt: skip
