"""Run skopeo and say in an operator's words what went wrong.

Credentials travel in a private file, never in the arguments; the host's own logins are not used, so that
the same site file works for every user. https://github.com/containers/skopeo
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kedge.lib.errors import KedgeError, NotNow
from kedge.modules.image.access import RegistryAccess
from kedge.modules.image.room import MAKE_ROOM, NO_SPACE

_QUICK_TIMEOUT_S = 60.0
_STALL_TIMEOUT_S = 120.0
_POLL_S = 0.25
_AUTH = "auth.json"
_CERTIFICATES = "certificates"
_MAX_OUTPUT_BYTES = 16 << 20


class Skopeo:
    """skopeo, set up for one registry; use `skopeo_for` to get one."""

    def __init__(self, folder: Path, access: RegistryAccess) -> None:
        self._folder = folder
        self._access = access

    async def inspect(self, source: str, *options: str) -> bytes:
        """The manifest (``--raw``) or configuration (``--config``, ``--raw``) of ``source``."""
        command = ["inspect", *options, *self._options(""), source]
        return await self._run(command, source, _QUICK_TIMEOUT_S, None)

    async def copy(
        self, source: str, target: str, *options: str, arrived: Callable[[], int]
    ) -> None:
        """Copy ``source`` to ``target`` (both with their transport; ``options`` are global ones). ``arrived``
        counts bytes; when it stands still for too long the copy is given up."""
        command = [*options, "copy", "--quiet", *self._options("src-")]
        if target.startswith("oci:"):
            command.append(
                "--dest-oci-accept-uncompressed-layers"
            )  # as they are, and so by their digest
        command += [source, target]
        await self._run(command, source, _STALL_TIMEOUT_S, arrived)

    def _options(self, prefix: str) -> list[str]:
        options = [f"--{prefix}authfile" if prefix else "--authfile", str(self._folder / _AUTH)]
        if self._access.ca:
            options += [f"--{prefix}cert-dir", str(self._folder / _CERTIFICATES)]
        if self._access.insecure:
            options.append(f"--{prefix}tls-verify=false")
        return options

    async def _run(
        self,
        command: Sequence[str],
        source: str,
        timeout_s: float,
        arrived: Callable[[], int] | None,
    ) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                "skopeo",
                "--insecure-policy",  # signatures are not checked: digests are, by us
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env={**_environment(), "TMPDIR": str(self._folder)},
            )
        except FileNotFoundError:
            raise KedgeError(
                "image.program_missing",
                "skopeo is not installed",
                next_step="Install it: apt-get install skopeo",
            ) from None
        try:
            out, err = await _communicate(process, source, timeout_s, arrived)
        finally:
            await _end(process)
        if process.returncode != 0:
            raise explain(err.decode(errors="replace"), source, self._access)
        return out


@contextmanager
def skopeo_for(
    registry: str, access: RegistryAccess, folder: Path
) -> Generator[Skopeo, None, None]:
    """A skopeo that may log in to ``registry``; ``folder`` is private, and holds the credentials only
    as long as this lasts."""
    if access.ca:
        certificates = folder / _CERTIFICATES
        certificates.mkdir()
        (certificates / "ca.crt").write_bytes(_authority(access.ca))
    auths: dict[str, dict[str, str]] = {}
    if access.username:
        login = f"{access.username}:{access.password}".encode()
        auths[registry] = {"auth": base64.b64encode(login).decode()}
    authfile = folder / _AUTH
    descriptor = os.open(authfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"auths": auths}, file)
        yield Skopeo(folder, access)
    finally:
        authfile.unlink(missing_ok=True)


def _authority(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KedgeError(
            "image.ca_unreadable",
            "the file of the registry's CA cannot be read",
            where=path,
            why=error.strerror or "",
            next_step="Correct `ca` of this registry in the configuration file",
        ) from None


async def _communicate(
    process: asyncio.subprocess.Process,
    source: str,
    timeout_s: float,
    arrived: Callable[[], int] | None,
) -> tuple[bytes, bytes]:
    """What it printed. ``timeout_s`` is for the whole run; with ``arrived``, for standing still."""
    assert process.stdout is not None and process.stderr is not None
    reading = asyncio.gather(_read(process.stdout), _read(process.stderr), process.wait())
    clock = asyncio.get_running_loop()
    deadline, seen = clock.time() + timeout_s, -1
    try:
        while not reading.done():
            await asyncio.wait([reading], timeout=_POLL_S if arrived else timeout_s)
            count = arrived() if arrived else seen
            if count != seen:
                deadline, seen = clock.time() + timeout_s, count
            if not reading.done() and clock.time() >= deadline:
                raise NotNow(
                    "image.registry_silent",
                    f"the registry sent nothing for {timeout_s:.0f} s",
                    where=_plain(source),
                    next_step="Look at the registry and the network; it is tried again by itself",
                )
        out, err, _ = await reading
        return out, err
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()  # it is known by now, or no longer of interest


async def _read(stream: asyncio.StreamReader) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await stream.read(1 << 16):
        size += len(piece)
        if size <= _MAX_OUTPUT_BYTES:
            pieces.append(piece)
    return b"".join(pieces)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


_CAUSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("image.no_space", ("no space left", "disk quota exceeded")),
    ("image.layer_corrupt", ("digest did not match", "does not match expected digest")),
    ("image.plain_http", ("server gave HTTP response to HTTPS client",)),
    ("image.tls_unknown", ("x509:", "tls: ", "certificate")),
    (
        "image.auth_refused",
        ("unauthorized", "authentication required", "invalid username/password", "denied"),
    ),
    ("image.not_found", ("manifest unknown", "name unknown", "not found", "no such file", "404")),
    (
        "image.registry_down",
        (
            "connection refused",
            "no such host",
            "timeout",
            "unreachable",
            "no route",
            "dial tcp",
            "connection reset",
            "eof",
            "502",
            "503",
            "504",
        ),
    ),
)


def explain(output: str, source: str, access: RegistryAccess) -> KedgeError:
    """What skopeo means. A registry that is not reached is no failure of the image: it is tried again."""
    lowered = output.lower()
    code = next(
        (code for code, marks in _CAUSES if any(mark.lower() in lowered for mark in marks)),
        "image.pull_failed",
    )
    where = _plain(source)
    user = f"user {access.username}" if access.username else "no credentials"
    what, next_step = {
        "image.plain_http": (
            "the registry speaks plain HTTP",
            "Give it a certificate, or allow plain HTTP for this registry: insecure: true",
        ),
        "image.tls_unknown": (
            "the registry's certificate is not trusted",
            "Name the file of the CA that signed it (PEM) as this registry's ca",
        ),
        "image.auth_refused": (
            f"the registry refused us ({user})",
            "Correct them: kedge secret set NAME (image.registries in kedge.yaml says which)",
        ),
        "image.not_found": (
            "there is no such image",
            f"Look what there is: skopeo list-tags docker://{repository(where)}",
        ),
        "image.no_space": (NO_SPACE, MAKE_ROOM),
        "image.layer_corrupt": (
            "a layer came damaged out of the registry",
            "Look at the registry's storage; pushing the image again may mend it",
        ),
        "image.registry_down": (
            "the registry does not answer",
            "Look whether it runs and whether this machine reaches it; it is tried again by itself",
        ),
    }.get(code, ("the image could not be pulled", "Try by hand: skopeo inspect " + source))
    kind = NotNow if code == "image.registry_down" else KedgeError
    return kind(code, what, where=where, why=_last_message(output), next_step=next_step)


def _last_message(output: str) -> str:
    """skopeo's fatal line without its frame: ``time="..." level=fatal msg="..."``."""
    lines = [line for line in output.strip().splitlines() if line]
    line = lines[-1] if lines else "skopeo said nothing"
    _, marker, message = line.partition("msg=")
    if not marker:
        return line[-300:]
    try:
        return str(json.loads(message))[-300:]
    except json.JSONDecodeError:
        return message[-300:]


def _plain(source: str) -> str:
    return source.removeprefix("docker://")


def _environment() -> dict[str, str]:
    """What skopeo needs of ours; proxies and certificates of the host stay in force."""
    kept = ("PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy")
    kept += ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {name: os.environ[name] for name in kept if name in os.environ}


def repository(where: str) -> str:
    """A reference without its tag and digest."""
    host, slash, path = where.partition("@")[0].partition("/")
    return f"{host}{slash}{path.partition(':')[0]}"
