"""The lab's own certificate authority and a server certificate for each of its servers."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kedge.lab.paths import private

VALID = datetime.timedelta(days=825)
SKEW = datetime.timedelta(days=1)


def prepare(lab: str, authority: Path, addresses: Iterable[str], directory: Path) -> None:
    """Write ``authority`` (PEM) and ``directory/<address>.pem`` (key and chain) unless present.

    The authority's key is thrown away at once: nobody can make further certificates with it.
    """
    wanted = list(addresses)
    if authority.exists() and all(server_file(directory, one).exists() for one in wanted):
        return
    private(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Kedge lab {lab}")
    root = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    for address in wanted:
        _write_server(server_file(directory, address), address, name, key, root)
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))


def server_file(directory: Path, address: str) -> Path:
    """The file with the server certificate and key of an address."""
    return directory / f"{address}.pem"


def _write_server(
    path: Path,
    address: str,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    root: x509.Certificate,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        _builder(_name(address), issuer, key)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign=False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(authority, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for part in (certificate, root):
        pem += part.public_bytes(serialization.Encoding.PEM)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + VALID)
        .add_extension(identifier, critical=False)
    )


def _key_usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
