"""Small OCI images made on the spot, and a real docker-registry to push them to."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import lzma
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_oracle import Layer

VERSION = "6.12.1-test"
USER, PASSWORD = "kedge", "s3cret-pässword"
MODULES = f"usr/lib/modules/{VERSION}"


def kernel(arch: str = "x86_64") -> bytes:
    """What a loader recognises as a kernel."""
    content = bytearray(4096)
    if arch == "x86_64":
        content[0x202:0x206] = b"HdrS"
    else:
        content[0:2], content[0x38:0x3C] = b"MZ", b"ARM\x64"
    return bytes(content)


def base_layer(arch: str = "x86_64") -> bytes:
    """A distribution with a kernel, and modules of which two are wanted and one is not."""
    layer = Layer().dir("./").dir("boot/").file(f"boot/vmlinuz-{VERSION}", kernel(arch)).dir("usr/")
    layer.dir("usr/lib/").dir("usr/lib/modules/").dir(f"{MODULES}/").dir(f"{MODULES}/kernel/").link(
        "lib", "usr/lib"
    )
    for name in ("virtio_net", "failover", "net-failover", "sound"):
        layer.file(
            f"{MODULES}/kernel/{name}.ko.xz", lzma.compress(b"\x7fELF" + name.encode() * 100)
        )
    dep = "kernel/virtio_net.ko.xz: kernel/net-failover.ko.xz kernel/failover.ko.xz\n"
    dep += "kernel/net-failover.ko.xz: kernel/failover.ko.xz\nkernel/failover.ko.xz:\nkernel/sound.ko.xz:\n"
    layer.file(f"{MODULES}/modules.dep", dep.encode())
    layer.file(f"{MODULES}/modules.builtin", b"kernel/unix.ko\n")
    layer.file(f"{MODULES}/modules.alias", b"alias virtio:d1v* virtio_net\nalias pci:snd* sound\n")
    return layer.file("usr/lib/filler", hashlib.sha512(b"x").digest() * 4000).bytes()


def top_layer(text: str) -> bytes:
    """A thin layer."""
    return Layer().dir("./").dir("etc/").file("etc/version", text.encode()).bytes()


def write_layout(
    folder: Path,
    tag: str,
    layers: Sequence[bytes],
    *,
    arch: str = "amd64",
    labels: dict[str, str] | None = None,
) -> str:
    """Add an image to an OCI layout; returns the digest of its manifest."""
    return _write_index(folder, tag, _write_image(folder, layers, arch, labels or {}))


def write_index(folder: Path, tag: str, images: dict[str, Sequence[bytes]]) -> str:
    """Add an image for several architectures; returns the digest of the index."""
    entries: list[dict[str, object]] = []
    for arch, layers in images.items():
        entry = _write_image(folder, layers, arch, {})
        entries.append({**entry, "platform": {"os": "linux", "architecture": arch}})
    media = "application/vnd.oci.image.index.v1+json"
    content = json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": entries}).encode()
    return _write_index(folder, tag, _blob(folder, media, content))


def _write_image(
    folder: Path, layers: Sequence[bytes], arch: str, labels: dict[str, str]
) -> dict[str, object]:
    config = {
        "architecture": arch,
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(
            folder, "application/vnd.oci.image.config.v1+json", json.dumps(config).encode()
        ),
        "layers": [
            _blob(
                folder,
                "application/vnd.oci.image.layer.v1.tar+gzip",
                gzip.compress(layer, 1, mtime=0),
            )
            for layer in layers
        ],
    }
    return _blob(folder, str(manifest["mediaType"]), json.dumps(manifest).encode())


def _write_index(folder: Path, tag: str, entry: dict[str, object]) -> str:
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = folder / "index.json"
    manifests = json.loads(index.read_text())["manifests"] if index.exists() else []
    name = {"annotations": {"org.opencontainers.image.ref.name": tag}}
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*manifests, {**entry, **name}]}))
    return str(entry["digest"])


def _blob(folder: Path, media: str, content: bytes) -> dict[str, object]:
    digest = _digest(content)
    path = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": media, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Registry:
    """A running registry with TLS and a password."""

    address: str
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca" / "ca.crt"

    @property
    def storage(self) -> Path:
        return self.folder / "storage" / "docker" / "registry" / "v2"

    def push(self, layout: Path, tag: str, name: str) -> str:
        """Push an image of a layout; returns its reference."""
        reference = f"{self.address}/{name}"
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all"]
        command += [
            "--authfile",
            str(self.folder / "auth.json"),
            "--dest-cert-dir",
            str(self.ca.parent),
        ]
        run([*command, f"oci:{layout}:{tag}", f"docker://{reference}"])
        return reference


@contextmanager
def running_registry(folder: Path, *, tls: bool = True) -> Iterator[Registry]:
    """docker-registry on loopback; ended and reaped however the test ends."""
    port = _free_port()
    (folder / "ca").mkdir(parents=True)
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
        },
    }
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "test"}
    if tls:
        _make_certificate(folder)
        http["tls"] = {"certificate": str(folder / "ca" / "ca.crt"), "key": str(folder / "key.pem")}
        made = run(["htpasswd", "-nBi", "-C", "4", USER], text=PASSWORD)
        (folder / "htpasswd").write_text(made.strip() + "\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    config["http"] = http
    (folder / "config.json").write_text(json.dumps(config))  # JSON is YAML
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "auth.json").write_text(json.dumps({"auths": {f"127.0.0.1:{port}": {"auth": login}}}))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.json")], stdout=log, stderr=log
        )
    try:
        _wait_for(port, process, folder / "log")
        yield Registry(f"127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _make_certificate(folder: Path) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=registry",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    run([*command, "-keyout", str(folder / "key.pem"), "-out", str(folder / "ca" / "ca.crt")])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the registry did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(command: Sequence[str], text: str = "") -> str:
    """Run a program to its end; what it printed."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
    return done.stdout
