"""The lab's certificates: a client that trusts the authority, and only it, can connect."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from kedge.lab import certificates

ADDRESS = "127.0.0.1"


def connect(authority: Path, pem: Path) -> str | None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pem)
    listener = socket.create_server((ADDRESS, 0))
    listener.settimeout(5)

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            server_context.wrap_socket(connection, server_side=True).close()
        except (ssl.SSLError, OSError):
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context = ssl.create_default_context(cafile=str(authority))
        # Newer Pythons set this by default: certificates must be strictly correct.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(listener.getsockname(), 5) as plain,
            context.wrap_socket(plain, server_hostname=ADDRESS) as secured,
        ):
            return secured.version()
    finally:
        thread.join(5)
        listener.close()


def test_a_server_is_trusted_through_its_own_authority_only(tmp_path: Path) -> None:
    for lab in ("a", "b"):
        certificates.prepare(lab, tmp_path / f"{lab}.pem", [ADDRESS], tmp_path / lab)
    pem = certificates.server_file(tmp_path / "a", ADDRESS)
    assert pem.stat().st_mode & 0o777 == 0o600
    assert connect(tmp_path / "a.pem", pem) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(tmp_path / "b.pem", pem)


def test_certificates_are_made_once(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    certificates.prepare("a", authority, [ADDRESS], tmp_path / "a")
    before = authority.read_bytes()
    certificates.prepare("a", authority, [ADDRESS], tmp_path / "a")
    assert authority.read_bytes() == before
    certificates.prepare("a", authority, [ADDRESS, "127.0.0.2"], tmp_path / "a")
    assert authority.read_bytes() != before
    assert connect(authority, certificates.server_file(tmp_path / "a", ADDRESS))
