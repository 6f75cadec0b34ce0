"""Kea as Kedge's DHCP server: run it, and keep its configuration equal to the site's.

Kea is spoken to over its control socket (one JSON request and answer per connection).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from kedge.lib.errors import KedgeError
from kedge.modules.boot.child import Child, Program

ANSWER_TIMEOUT_S = 60.0
START_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
MAX_SOCKET_PATH = 107
USER = "_kea"
RUN = Path(os.environ.get("RUNTIME_DIRECTORY") or "/run/kedge-serve")
"""As systemd has made it. On a node that Kedge has booted /run/kedge is its agent's."""
Json = Mapping[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What comes back from the control socket; ``result`` 0 is success."""

    result: int
    text: str = ""
    arguments: Any = None


async def command(socket: Path, name: str, arguments: Json | None = None) -> Any:
    """The ``arguments`` of Kea's answer; raises `KedgeError`."""
    request: dict[str, Any] = {"command": name}
    if arguments is not None:
        request["arguments"] = arguments
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(str(socket), limit=2**20)
            try:
                writer.write(json.dumps(request).encode())
                await writer.drain()
                received = b""
                while len(received) <= MAX_ANSWER_BYTES and (more := await reader.read(1 << 20)):
                    received += more
            finally:
                writer.close()
        answer = msgspec.json.decode(received, type=Answer)
    except (OSError, TimeoutError) as error:
        raise _unreachable(socket, error) from error
    except msgspec.MsgspecError as error:
        raise KedgeError("boot.dhcp_answer", "Kea answered nonsense", where=str(socket)) from error
    if answer.result != 0:
        raise KedgeError(
            "boot.dhcp_refused",
            f"Kea refused {name}",
            where=str(socket),
            why=answer.text,
            next_step="Nodes keep the former configuration; correct what it names",
        )
    return answer.arguments


def _unreachable(socket: Path, error: Exception) -> KedgeError:
    return KedgeError(
        "boot.dhcp_unreachable",
        "Kea does not answer on its control socket",
        where=str(socket),
        why=str(error) or "no answer in time",
        next_step="Check that kea-dhcp4 runs and that boot.dhcp_socket is its control-socket",
    )


def directory_of(state_dir: Path) -> Path:
    """Kea's own directory. Where Kea gets a user of its own that is not below the state directory,
    which only Kedge may enter."""
    if os.geteuid() != 0:
        return state_dir / "run" / "kea"
    return RUN / hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12] / "kea"


class Kea:
    """A Kea of our own, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "kea4.sock"
        self._file = directory / "kea4.json"

    def prepare(self, configuration: Json) -> None:
        """Write what it starts from; raises `KedgeError`."""
        if len(str(self.socket)) > MAX_SOCKET_PATH:
            raise KedgeError(
                "boot.dhcp_path",
                "the path of Kea's control socket is too long",
                where=str(self.socket),
                next_step="Choose a shorter state_dir",
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o750)  # Kea 2.6 insists
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(configuration))
        draft.chmod(0o640)
        draft.replace(self._file)
        if os.geteuid() == 0:
            self._give_to_user()

    def clean(self) -> None:
        """Take the directory away."""
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()  # unless there is more in it

    def _give_to_user(self) -> None:
        try:
            user = pwd.getpwnam(USER)
        except KeyError:
            return
        for path in (self.directory, self._file):
            os.chown(path, user.pw_uid, user.pw_gid)
        self.socket.unlink(missing_ok=True)
        self.socket.with_name(self.socket.name + ".lock").unlink(missing_ok=True)

    def child(self) -> Child:
        """The server, ready to be entered."""
        directory = str(self.directory)
        return Child(
            Program(
                "kea-dhcp4",
                ["-c", str(self._file)],
                package="kea-dhcp4-server",
                user=USER,
                capabilities=("net_raw", "net_bind_service"),
                environment={
                    "KEA_LOCKFILE_DIR": "none",
                    "KEA_PIDFILE_DIR": directory,
                    "KEA_CONTROL_SOCKET_DIR": directory,
                    "KEA_DHCP_DATA_DIR": directory,
                    "KEA_LOG_FILE_DIR": directory,
                },
            )
        )

    async def started(self, child: Child) -> None:
        """Wait until it answers; raises `KedgeError` when it ends instead."""
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            if not child.running:
                raise await child.ended()
            if self.socket.exists():
                await command(self.socket, "version-get")
                return
            await asyncio.sleep(0.05)
        raise KedgeError(
            "boot.dhcp_start", "Kea did not open its control socket", why=child.last_words
        )
