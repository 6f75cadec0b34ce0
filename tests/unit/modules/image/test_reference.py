"""References: what is valid, and what each mistake is told."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.image.reference import LocalSource, Reference, parse_reference, parse_source

DIGEST = "sha256:" + "0123456789abcdef" * 4

VALID = {
    "10.77.0.1:5000/compute:1": Reference("10.77.0.1:5000", "compute", "1"),
    "registry.example/a/b_c/d--e:2026.11": Reference("registry.example", "a/b_c/d--e", "2026.11"),
    "localhost/x:latest": Reference("localhost", "x", "latest"),
    "[fd00::1]:5000/compute:1": Reference("[fd00::1]:5000", "compute", "1"),
    "[fd00::1]/compute:1": Reference("[fd00::1]", "compute", "1"),
    f"r.example:443/c@{DIGEST}": Reference("r.example:443", "c", "", DIGEST),
    f"r.example/c:1@{DIGEST}": Reference("r.example", "c", "1", DIGEST),
    "REG.example:65535/c:V1_x-y.z": Reference("REG.example:65535", "c", "V1_x-y.z"),
}

INVALID = {
    "": "which registry",
    "compute": "which registry",
    "compute:1": "which registry",
    "library/compute:1": "which registry",
    "registry.example/compute": "neither a tag nor a digest",
    "registry.example/Compute:1": "capitals",
    "registry.example/compute:": "no tag",
    "registry.example/compute:-1": "no tag",
    "registry.example/compute:" + "x" * 129: "no tag",
    "registry.example/a//b:1": "lower-case letters",
    "registry.example//compute:1": "lower-case letters",
    "registry.example/compute..x:1": "lower-case letters",
    "registry.example/../etc:1": "lower-case letters",
    "registry.example:0/compute:1": "no port",
    "registry.example:65536/compute:1": "no port",
    "registry.example:abc/compute:1": "no port",
    "registry.example:/compute:1": "no port",
    "registry.example/compute@sha256:123": "no digest",
    f"registry.example/compute@{DIGEST.upper()}": "no digest",
    "registry.example/compute@sha512:" + "0" * 128: "no digest",
    "fd00::1/compute:1": "IPv6 address in brackets",
    "[fd00::zz]:5000/compute:1": "no IPv6 address",
    "[fd00::1]5000/compute:1": "no host",
    "https://registry.example/compute:1": "does not belong",
    "docker://registry.example/compute:1": "does not belong",
    "registry.example/com pute:1": "characters that no reference has",
    "registry.example/compüte:1": "characters that no reference has",
    "registry.example/compute:1\n": "characters that no reference has",
    "-registry.example/compute:1": "no host name",
    "registry..example/compute:1": "no host name",
    "user@registry.example/compute:1": "no digest",
}


@pytest.mark.parametrize("text", VALID)
def test_valid(text: str) -> None:
    assert parse_reference(text) == VALID[text]
    assert str(parse_reference(text)) == text


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    with pytest.raises(KedgeError) as caught:
        parse_reference(text)
    assert caught.value.code == "image.bad_reference"
    assert INVALID[text] in str(caught.value)
    assert (
        "registry" in caught.value.next_step
        or "IPv6" in caught.value.next_step
        or ":1" in caught.value.next_step
    )


def test_pinned_forgets_the_tag() -> None:
    assert str(parse_reference("r.example/c:1").pinned(DIGEST)) == f"r.example/c@{DIGEST}"


def test_local_sources() -> None:
    assert parse_source("oci:/srv/images/compute:1") == LocalSource(
        "oci", "/srv/images/compute", "1"
    )
    assert parse_source("docker-archive:/a.tar:c:1") == LocalSource(
        "docker-archive", "/a.tar", "c:1"
    )
    assert str(parse_source("dir:/srv/d")) == "dir:/srv/d"
    assert isinstance(parse_source("r.example/oci:1"), Reference)
    for text in ("oci:relative/path:1", "oci:", "dir:/a\nb"):
        with pytest.raises(KedgeError, match="no image reference"):
            parse_source(text)
