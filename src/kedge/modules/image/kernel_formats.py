"""Turn a kernel as distributions ship it into the plain image that QEMU and iPXE start.

x86-64 is a bzImage and stays as it is. arm64 comes as a plain Image with an EFI stub, gzipped, or as EFI
zboot (a small EFI program with the compressed Image inside), which older loaders cannot start.
Layouts: the kernel's Documentation/arch/x86/boot.rst, arch/arm64/booting.rst and
drivers/firmware/efi/libstub/zboot-header.S.
"""

from __future__ import annotations

import lzma
import subprocess
import zlib

from kedge.lib.errors import KedgeError

_MAX_BYTES = 512 << 20
_TIMEOUT_S = 60


def plain_kernel(content: bytes, arch: str, where: str) -> bytes:
    """The kernel as a loader takes it; KedgeError ``image.bad_kernel`` when it is none for ``arch``."""
    if content.startswith(b"\x1f\x8b"):
        content = decompress(content, "gzip", where)
    if content[4:8] == b"zimg":
        start = int.from_bytes(content[8:12], "little")
        size_bytes = int.from_bytes(content[12:16], "little")
        kind = content[24:56].split(b"\0", 1)[0].decode("ascii", "replace")
        content = decompress(content[start : start + size_bytes], kind, where)
    found = _architecture(content)
    if found != arch:
        raise KedgeError(
            "image.bad_kernel",
            f"this is no kernel for {arch}",
            where=where,
            why=f"it looks like {found or 'nothing known'}",
            next_step="Install the distribution's kernel package for that architecture in the image",
        )
    return content


def decompress(content: bytes, kind: str, where: str) -> bytes:
    """Bytes compressed with gzip, xz, lzma or zstd (``zstd22`` too), within a bound."""
    try:
        if kind.startswith("zstd"):
            return _unzstd(content)
        if kind == "gzip":
            decoder = zlib.decompressobj(wbits=31)
            plain = decoder.decompress(content, _MAX_BYTES)
            finished = decoder.eof
        elif kind in ("xz", "lzma"):
            unpacker = lzma.LZMADecompressor()
            plain = unpacker.decompress(content, _MAX_BYTES)
            finished = unpacker.eof
        else:
            raise _damaged(where, f"it is compressed with {kind}, which is not known here")
    except (zlib.error, lzma.LZMAError, OSError, subprocess.SubprocessError) as error:
        raise _damaged(where, str(error)) from None
    if not finished:
        raise _damaged(where, "it ends too early, or is too large")
    return plain


def _unzstd(content: bytes) -> bytes:
    command = ["zstd", "--decompress", "--stdout", "--quiet"]
    done = subprocess.run(
        command, input=content, capture_output=True, timeout=_TIMEOUT_S, check=True
    )
    return done.stdout


def _architecture(content: bytes) -> str:
    if content[0x202:0x206] == b"HdrS":
        return "x86_64"
    if content[0x38:0x3C] == b"ARM\x64":
        return "aarch64"
    return ""


def _damaged(where: str, why: str) -> KedgeError:
    return KedgeError(
        "image.bad_kernel",
        "this file of the kernel cannot be unpacked",
        where=where,
        why=why,
        next_step="Install the kernel package in the image again",
    )
