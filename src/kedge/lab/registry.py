"""The lab's OCI registry: Debian's docker-registry with TLS and a password, in the namespace."""

from __future__ import annotations

import asyncio
from pathlib import Path

import yaml

from kedge.lab import processes
from kedge.lab.bmc import Login
from kedge.lab.description import Description
from kedge.lab.kept import Kept, program
from kedge.lab.paths import Paths, private, write_private


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
        self._kept = Kept(
            description.name,
            "registry",
            (program("docker-registry", "docker-registry"), "serve", "config.yaml"),
            self._home,
            self._connects,
        )

    def alive(self) -> bool:
        """Whether the process lives."""
        return self._kept.alive()

    async def start(self) -> None:
        """Start it; returns when it takes connections."""
        private(self._storage)
        await self._write_password()
        write_private(self._home / "config.yaml", yaml.safe_dump(self._configuration()))
        await self._kept.start()

    async def stop(self) -> None:
        """End it."""
        await self._kept.stop()

    async def _connects(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(*self._address)
        except OSError:
            return False
        writer.close()
        return True

    async def _write_password(self) -> None:
        """The password goes to htpasswd over its standard input, never into its arguments."""
        child = await asyncio.create_subprocess_exec(
            *(program("htpasswd", "apache2-utils"), "-n", "-i", "-B", "-C", "5"),
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
