"""Compares what Kedge makes of OCI layers with what umoci makes of them: one tree each, entry by entry."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kedge.modules.image.blobs import blob_path
from kedge.modules.image.layer_files import LayerFile
from kedge.modules.image.layers import ConvertedImage, convert_layers

MTIME = 1_700_000_000


class Layer:
    """Writes one layer's tar, member by member, in the order given."""

    def __init__(self, fmt: int = tarfile.PAX_FORMAT) -> None:
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=fmt)  # noqa: SIM115

    def add(
        self, name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object
    ) -> Layer:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.size = len(content)
        member.mtime = MTIME
        member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        for field, value in fields.items():
            setattr(member, field, value)
        self._tar.addfile(member, io.BytesIO(content))
        return self

    def file(self, name: str, content: bytes = b"content", **fields: object) -> Layer:
        return self.add(name, content=content, **fields)

    def dir(self, name: str, **fields: object) -> Layer:
        return self.add(name, tarfile.DIRTYPE, **fields)

    def link(self, name: str, target: str, **fields: object) -> Layer:
        return self.add(name, tarfile.SYMTYPE, linkname=target, **fields)

    def hard(self, name: str, target: str) -> Layer:
        return self.add(name, tarfile.LNKTYPE, linkname=target)

    def gone(self, path: str) -> Layer:
        parent, _, name = path.rpartition("/")
        return self.file(f"{parent}/.wh.{name}" if parent else f".wh.{name}", b"")

    def opaque(self, path: str) -> Layer:
        return self.file(f"{path}/.wh..wh..opq" if path else ".wh..wh..opq", b"")

    def bytes(self) -> bytes:
        self._tar.close()
        return self._out.getvalue()


def layer_files(folder: Path, layers: Sequence[bytes]) -> list[LayerFile]:
    """The layers as if they had been pulled uncompressed."""
    files: list[LayerFile] = []
    for content in layers:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        path = folder / digest.removeprefix("sha256:")
        path.write_bytes(content)
        files.append(LayerFile(digest, digest, len(content), path))
    return files


def convert(folder: Path, layers: Sequence[bytes], flatten_above: int = 100) -> ConvertedImage:
    """Convert into the state directory ``folder``/s."""
    pulled = folder / "p"
    pulled.mkdir(exist_ok=True)
    return convert_layers(
        folder / "s",
        layer_files(pulled, layers),
        flatten_above=flatten_above,
        progress=lambda what, share: None,
        stop=lambda: None,
    )


def kedge_tree(folder: Path, image: ConvertedImage) -> dict[str, tuple[object, ...]]:
    """What a node would see: the squashfs files mounted and stacked."""
    # A short name: overlay's options must fit into a page, and pytest's folders have long ones.
    with (
        tempfile.TemporaryDirectory(prefix="ov") as mount,
        mounted(folder / "s", image, Path(mount)) as root,
    ):
        return tree(root)


@contextmanager
def mounted(state: Path, image: ConvertedImage, mount: Path) -> Iterator[Path]:
    """The stack, with a writable layer on top as on a node."""
    done: list[Path] = []
    try:
        lower: list[str] = []
        for number, layer in enumerate(image.layers):
            point = mount / str(number)
            point.mkdir()
            _run(
                "mount",
                "-t",
                "squashfs",
                "-o",
                "ro,loop",
                str(blob_path(state, layer.blob)),
                str(point),
            )
            done.append(point)
            lower.insert(0, str(point))
        upper, root = mount / "upper", mount / "root"
        upper.mkdir()
        root.mkdir()
        _run("mount", "-t", "tmpfs", "tmpfs", str(upper))
        done.append(upper)
        (upper / "u").mkdir()
        (upper / "w").mkdir()
        options = f"lowerdir={':'.join(lower)},upperdir={upper}/u,workdir={upper}/w"
        _run("mount", "-t", "overlay", "-o", options, "overlay", str(root))
        done.append(root)
        yield root
    finally:
        for point in reversed(done):
            _run("umount", str(point))


def umoci_tree(folder: Path, layers: Sequence[bytes]) -> dict[str, tuple[object, ...]]:
    """What umoci unpacks."""
    layout = folder / "oci"
    _run("umoci", "init", "--layout", str(layout))
    _run("umoci", "new", "--image", f"{layout}:x")
    for number, content in enumerate(layers):
        tar = folder / f"{number}.tar"
        tar.write_bytes(content)
        _run("umoci", "raw", "add-layer", "--image", f"{layout}:x", str(tar))
    _run("umoci", "unpack", "--image", f"{layout}:x", str(folder / "bundle"))
    return tree(folder / "bundle" / "rootfs")


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Every entry with all that can be told about it; hard links by their first name."""
    found: dict[str, tuple[object, ...]] = {}
    names: dict[tuple[int, int], str] = {}
    for folder, dirs, files in os.walk(root):
        dirs.sort()
        for name in sorted([*dirs, *files]):
            path = Path(folder) / name
            status = path.lstat()
            label = str(path.relative_to(root))
            kind = stat.S_IFMT(status.st_mode)
            content: object = None
            if kind == stat.S_IFREG:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif kind == stat.S_IFLNK:
                content = str(path.readlink())
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                content = status.st_rdev
            first = (
                names.setdefault((status.st_dev, status.st_ino), label)
                if kind == stat.S_IFREG
                else label
            )
            found[label] = (
                kind,
                stat.S_IMODE(status.st_mode) if kind != stat.S_IFLNK else 0,
                status.st_uid,
                status.st_gid,
                int(status.st_mtime),
                content,
                first,
                xattrs(path),
            )
    return found


def xattrs(path: Path) -> tuple[tuple[str, bytes], ...]:
    """All of them; a squashfs that holds none refuses to list any."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))


def can_mount() -> bool:
    """Whether the oracle can run here."""
    tools = all(_which(tool) for tool in ("umoci", "mksquashfs", "mount"))
    filesystems = Path("/proc/filesystems").read_text()
    return os.geteuid() == 0 and tools and "overlay" in filesystems and "squashfs" in filesystems


def _which(tool: str) -> bool:
    return any(os.access(Path(folder) / tool, os.X_OK) for folder in os.environ["PATH"].split(":"))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
