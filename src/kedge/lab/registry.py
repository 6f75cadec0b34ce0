"""The lab's OCI registry: Debian's docker-registry with TLS and a password, in the namespace."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import yaml

from kedge.lab import processes
from kedge.lab.bmc import Login
from kedge.lab.description import Description
from kedge.lab.paths import Paths, private, write_private
from kedge.lib.errors import KedgeError

START_TIMEOUT_S = 20.0


class Registry:
    """One docker-registry process."""

    def __init__(self, description: Description, paths: Paths, login: Login, pem: Path) -> None:
        self._lab = description.name
        self._address = (description.networks.head, description.registry.port)
        self._home = private(paths.run / "registry")
        given = description.registry.directory
        self._storage = Path(given) if given else paths.bulk / "registry"
        self._login = login
        self._pem = pem
        self._process: processes.Process | None = None

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.alive()

    async def start(self) -> None:
        """Start it; returns when it takes connections."""
        program = _need("docker-registry", "docker-registry")
        private(self._storage)
        await self._write_password()
        write_private(self._home / "config.yaml", yaml.safe_dump(self._configuration()))
        output = self._home / "registry.log"
        with output.open("wb") as file:
            child = await asyncio.create_subprocess_exec(
                *(program, "serve", str(self._home / "config.yaml")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=processes.mark(self._lab, "registry"),
                cwd=self._home,
                start_new_session=True,
            )
        self._process = processes.look(child.pid)
        for _ in range(int(START_TIMEOUT_S / 0.1)):
            try:
                _, writer = await asyncio.open_connection(*self._address)
            except OSError:
                if child.returncode is not None:
                    break
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
        said = output.read_text(errors="replace").strip().splitlines()
        raise KedgeError(
            "lab.registry_failed",
            f"the registry does not serve {self._address[0]}:{self._address[1]}",
            why=said[-1] if said else "",
            next_step=f"Read {output}",
        )

    async def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send(signal.SIGTERM)

    async def _write_password(self) -> None:
        """The password goes to htpasswd over its standard input, never into its arguments."""
        child = await asyncio.create_subprocess_exec(
            *(_need("htpasswd", "apache2-utils"), "-n", "-i", "-B", "-C", "5"),
            self._login.username,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=processes.mark(self._lab, "htpasswd"),
        )
        line, _ = await child.communicate(self._login.password.encode() + b"\n")
        write_private(self._home / "htpasswd", line.decode())

    def _configuration(self) -> dict[str, object]:
        return {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self._storage)},
                "delete": {"enabled": True},
            },
            "http": {
                "addr": f"{self._address[0]}:{self._address[1]}",
                "tls": {"certificate": str(self._pem), "key": str(self._pem)},
            },
            "auth": {"htpasswd": {"realm": "kedge lab", "path": str(self._home / "htpasswd")}},
        }


def _need(program: str, package: str) -> str:
    found = shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin:/bin")
    if found is None:
        raise KedgeError(
            "lab.missing_program",
            f"{program} is not installed",
            next_step=f"Install it: apt-get install {package}",
        )
    return found
