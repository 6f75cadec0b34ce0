"""Speaks to Slurm through slurmrestd, with a JSON Web Token, over TCP, TLS or a Unix socket."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Cluster, Driver
from kedge.modules.scheduler.slurm_command import silent
from kedge.modules.scheduler.slurm_parse import cluster, decode

CALL_S = 20.0
ANSWER_S = 60.0
"""How long an answer may take to come, once it has begun."""
PRINTABLE = re.compile(r"[!-~ ]*")
"""What a header of HTTP may hold; the library would say the whole value, a secret, in its error."""
MOST_BYTES = 512 << 20
UPDATES_SINCE = 39
"""The first version of the API that can change nodes."""

KNOWN = (44, 43, 42, 41, 40, 39, 38)
"""The versions tried, newest first, where the site names none."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where slurmrestd listens (``http://host:6820``, ``https://...``, ``unix:/run/slurmrestd.sock``), and
    how it knows us. ``token`` gives the token of the moment."""

    url: str
    user: str
    token: Callable[[], str]
    ca: str = ""


class Rest:
    """A driver by slurmrestd. What its version cannot do goes to ``other`` (the commands)."""

    def __init__(self, endpoint: Endpoint, version: int = 0, other: Driver | None = None) -> None:
        self._endpoint, self._version, self._other = endpoint, version, other

    def read(self) -> Cluster:
        """Three requests, however many nodes there are."""
        if not self._version:
            self._version = self._newest()
        return cluster(self._get("nodes/"), self._get("jobs/"), self._get("reservations/"))

    def _newest(self) -> int:
        for version in KNOWN:
            status, answer = self._call("GET", f"/slurm/v0.0.{version}/ping/")
            if status == 200:
                return version
            if status != 404:
                raise self._refused("ping", status, answer)
        raise silent(self._endpoint.url, "it speaks no version of the API from v0.0.38 to v0.0.44")

    def drain(self, nodes: Sequence[str], reason: str) -> None:
        """See `Driver`."""
        if self._able():
            self._update(nodes, {"state": ["DRAIN"], "reason": reason})
        else:
            self._instead().drain(nodes, reason)

    def resume(self, nodes: Sequence[str]) -> None:
        """See `Driver`."""
        if self._able():
            self._update(nodes, {"state": ["RESUME"]})
        else:
            self._instead().resume(nodes)

    def requeue(self, jobs: Sequence[str]) -> None:
        """See `Driver`. No version of the API can."""
        self._instead().requeue(jobs)

    def carry(self, nodes: Sequence[str], features: Sequence[str]) -> None:
        """See `Driver`."""
        if self._able():
            offered = list(features)
            self._update(nodes, {"features": offered, "features_act": offered})
        else:
            self._instead().carry(nodes, features)

    def _able(self) -> bool:
        if not self._version:
            self._version = self._newest()
        return self._version >= UPDATES_SINCE

    def _instead(self) -> Driver:
        if self._other is None:
            raise KedgeError(
                "scheduler.read_only", f"v0.0.{self._version} of Slurm's API cannot do this",
                where=self._endpoint.url,
                next_step="Install Slurm's commands here, or a slurmrestd of 23.02 or later",
            )  # fmt: skip
        return self._other

    def _update(self, nodes: Sequence[str], change: Mapping[str, Any]) -> None:
        path = f"/slurm/v0.0.{self._version}/node/{quote(nodeset.fold(nodes))}"
        status, answer = self._call("POST", path, json.dumps(change).encode())
        if status != 200:
            raise self._refused(path, status, answer)
        decode(answer, path)

    def _get(self, what: str) -> dict[str, Any]:
        path = f"/slurm/v0.0.{self._version}/{what}"
        status, answer = self._call("GET", path)
        if status != 200:
            raise self._refused(what, status, answer)
        return decode(answer, what.rstrip("/"))

    def _refused(self, what: str, status: int, answer: bytes) -> KedgeError:
        if status in (401, 403, 511) or b"uthentication" in answer:
            return KedgeError(
                "scheduler.token", "slurmrestd refused the token", where=self._endpoint.url,
                next_step="Make one with scontrol token, then: kedge secret set NAME",
            )  # fmt: skip
        said = re.search(rb'"(?:description|error)":\s*"([^"]{1,300})"', answer)
        why = said[1].decode(errors="replace") if said else f"status {status}"
        if status == 500:  # older versions say all sorts of things of a token that they do not take
            why += "; perhaps the token is not valid"
        return silent(self._endpoint.url, f"{what}: {why}")

    def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {
            "X-SLURM-USER-NAME": self._endpoint.user,
            "X-SLURM-USER-TOKEN": self._endpoint.token(),
            **({"Content-Type": "application/json"} if body is not None else {}),
        }
        if any(not PRINTABLE.fullmatch(text) for text in headers.values()):
            raise KedgeError(
                "scheduler.token", "the user or the token holds characters that none has",
                where=self._endpoint.url, next_step="Store it anew: kedge secret set NAME user token",
            )  # fmt: skip
        connection = connect(self._endpoint)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = _read(response)
        except (OSError, http.client.HTTPException) as error:
            raise silent(self._endpoint.url, str(error) or type(error).__name__) from None
        finally:
            connection.close()
        return response.status, answer


def _read(response: http.client.HTTPResponse) -> bytes:
    """The whole answer; raises `OSError` where it is too long, or comes too slowly."""
    ends_at = time.monotonic() + ANSWER_S
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(1 << 20):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise OSError(f"it answers with more than {MOST_BYTES >> 20} MiB")
        if time.monotonic() > ends_at:
            raise OSError(f"its answer did not come within {ANSWER_S:.0f} s")
    return b"".join(pieces)


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CALL_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_S)
        self.sock.connect(self._path)


def connect(endpoint: Endpoint) -> http.client.HTTPConnection:
    """A connection, not opened yet; raises `KedgeError` for a URL that is none."""
    try:
        parts = urlsplit(endpoint.url)
        port = parts.port or 6820
    except ValueError:
        raise _no_address(endpoint.url) from None
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return _Unix(parts.path)
    if parts.scheme == "https" and parts.hostname:
        return http.client.HTTPSConnection(
            parts.hostname, port, timeout=CALL_S, context=_trust(endpoint.ca)
        )
    if parts.scheme == "http" and parts.hostname:
        return http.client.HTTPConnection(parts.hostname, port, timeout=CALL_S)
    raise _no_address(endpoint.url)


def _no_address(url: str) -> KedgeError:
    return KedgeError(
        "scheduler.url", f"{url!r} is no address of a slurmrestd",
        next_step="Valid: http://host:6820, https://host:6820, unix:/run/slurmrestd/socket",
    )  # fmt: skip


def _trust(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise KedgeError(
            "scheduler.ca", "the file of slurmrestd's CA cannot be read", where=ca,
            why=error.strerror or str(error), next_step="Correct scheduler.ca in kedge.yaml",
        ) from None  # fmt: skip
