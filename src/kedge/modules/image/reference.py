"""Parse the name of an OCI image: registry, repository, and a tag or a digest.

The grammar is that of the OCI distribution specification and of docker's references; two shorthands of
docker are refused, because a cluster must not guess: a name without a registry, and one without a tag.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from kedge.lib.errors import KedgeError

_LOCAL_SCHEMES = ("oci", "oci-archive", "docker-archive", "dir")
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255
_EXAMPLES = (
    "Write it as registry[:port]/name:tag or registry[:port]/name@sha256:<64 hex digits>, "
    "for instance registry.example:5000/compute:2026.11"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry: ``digest`` decides where both it and ``tag`` are given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    def pinned(self, digest: str) -> Reference:
        """The same repository at exactly this digest."""
        return Reference(self.registry, self.repository, digest=digest)


@dataclass(frozen=True, slots=True)
class LocalSource:
    """An image in a file or folder of this machine, for sites without a registry.

    ``scheme`` is one of oci, oci-archive, docker-archive, dir; ``inner`` names the image inside (a tag),
    if given.
    """

    scheme: str
    path: str
    inner: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.path}" + (f":{self.inner}" if self.inner else "")


def parse_source(text: str) -> Reference | LocalSource:
    """Parse what `kedge image import` takes: a registry's image, or ``oci:/path[:tag]`` and its kin."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme in _LOCAL_SCHEMES:
        path, _, inner = rest.partition(":")
        if not path.startswith("/"):
            raise _bad(
                text,
                f"'{path}' is not an absolute path",
                f"For instance {scheme}:/srv/images/compute:1",
            )
        if any(ord(character) < 32 for character in text):
            raise _bad(text, "it holds a control character")
        return LocalSource(scheme, path, inner)
    return parse_reference(text)


def parse_reference(text: str) -> Reference:
    """Parse a registry's image. Raises KedgeError ``image.bad_reference`` that says what is valid."""
    if len(text) > 2 * _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise _bad(text, "it is too long or holds characters that no reference has")
    for scheme in ("docker://", "https://", "http://"):
        if text.startswith(scheme):
            raise _bad(text, f"'{scheme}' does not belong to it")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _bad(text, f"'{digest}' is no digest: sha256: and 64 hex digits in lower case")
    registry, slash, path = rest.partition("/")
    if not slash or not _names_registry(registry):
        raise _bad(
            text,
            "it does not say which registry",
            "The first part must be a host with a dot, a port, or localhost. " + _EXAMPLES,
        )
    _check_registry(text, registry)
    repository, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _bad(text, f"'{tag}' is no tag: letters, digits, '_', '.', '-', at most 128")
    _check_repository(text, repository)
    if not tag and not digest:
        raise _bad(
            text, "it has neither a tag nor a digest", f"Say which version, for instance {text}:1"
        )
    return Reference(registry, repository, tag, digest)


def _names_registry(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost"


def _check_registry(text: str, registry: str) -> None:
    if registry.startswith("["):
        host, bracket, port = registry[1:].partition("]")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise _bad(text, f"'{host}' is no IPv6 address") from None
        if "%" in host or not bracket or (port and not port.startswith(":")):
            raise _bad(text, f"'{registry}' is no host", "Write IPv6 as [fd00::1]:5000")
        port = port.removeprefix(":") if port else "443"
    else:
        host, colon, port = registry.partition(":")
        if ":" in port:
            raise _bad(
                text,
                f"'{registry}' is no host",
                "Write an IPv6 address in brackets: [fd00::1]:5000",
            )
        if len(host) > 253 or not _HOST.fullmatch(host):
            raise _bad(text, f"'{host}' is no host name")
        port = port if colon else "443"
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise _bad(text, f"'{port}' is no port (1 to 65535)")


def _check_repository(text: str, repository: str) -> None:
    if len(repository) > _LONGEST:
        raise _bad(text, f"the name is longer than {_LONGEST} characters")
    for component in repository.split("/"):
        if not _COMPONENT.fullmatch(component):
            hint = "" if component == component.lower() else " (capitals are not allowed)"
            raise _bad(
                text,
                f"'{component}' in its name is not lower-case letters, digits, '.', '_', '-'{hint}",
            )


def _bad(text: str, why: str, next_step: str = _EXAMPLES) -> KedgeError:
    return KedgeError(
        "image.bad_reference", f"'{text[:120]}' is no image reference", why=why, next_step=next_step
    )
