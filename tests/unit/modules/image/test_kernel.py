"""Kernels: the newest is taken, in the form that a loader starts; modules with all they need."""

from __future__ import annotations

import gzip
import lzma
import random
import struct
import subprocess

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.image.kernel import kernel_arguments, version_key
from kedge.modules.image.kernel_formats import plain_kernel
from kedge.modules.image.kernel_modules import (
    choose_modules,
    module_name,
    pack_modules,
    parse_dependencies,
)

ARM = b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(1000)
INTEL = bytes(0x202) + b"HdrS" + bytes(1000)


def zboot(payload: bytes, kind: bytes) -> bytes:
    return struct.pack("<4s4sII8x32s8x", b"MZ\0\0", b"zimg", 64, len(payload), kind) + payload


def zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=content, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "shipped",
    [
        ARM,
        gzip.compress(ARM),
        zboot(gzip.compress(ARM), b"gzip"),
        zboot(lzma.compress(ARM), b"xz"),
        zboot(zstd(ARM), b"zstd22"),
    ],
    ids=["plain", "gzip", "zboot gzip", "zboot xz", "zboot zstd"],
)
def test_arm64_kernel_becomes_plain(shipped: bytes) -> None:
    assert plain_kernel(shipped, "aarch64", "k") == ARM


def test_intel_kernel_stays() -> None:
    assert plain_kernel(INTEL, "x86_64", "k") == INTEL


@pytest.mark.parametrize(
    ("content", "arch"),
    [
        (ARM, "x86_64"),
        (INTEL, "aarch64"),
        (b"", "x86_64"),
        (b"#!/bin/sh", "aarch64"),
        (gzip.compress(ARM)[:-20], "aarch64"),
        (zboot(b"x" * 100, b"gzip"), "aarch64"),
        (zboot(ARM, b"lz4"), "aarch64"),
        (b"MZ\0\0zimg", "aarch64"),
    ],
)
def test_what_is_no_kernel_is_refused(content: bytes, arch: str) -> None:
    with pytest.raises(KedgeError) as caught:
        plain_kernel(content, arch, "image: /boot/vmlinuz")
    assert caught.value.code == "image.bad_kernel" and caught.value.where == "image: /boot/vmlinuz"


def test_versions_sort_as_their_makers_mean_them() -> None:
    ordered = [
        "5.10.0-8-amd64",
        "5.10.0-28-amd64",
        "6.1.0-9-amd64",
        "6.1.0-13-amd64",
        "6.12~rc1",
        "6.12~rc2",
        "6.12",
        "6.12.9",
        "6.12.10",
        "6.12.107+deb13-cloud-amd64",
        "10.0",
    ]
    shuffled = ordered[:]
    random.Random(4).shuffle(shuffled)
    assert sorted(shuffled, key=version_key) == ordered


def test_dependencies_come_first() -> None:
    text = (
        "kernel/virtio_net.ko.xz: kernel/net-failover.ko.xz kernel/failover.ko.xz\n"
        "kernel/net-failover.ko.xz: kernel/failover.ko.xz\nkernel/failover.ko.xz:\nkernel/unrelated.ko.xz:\n"
    )
    chosen = choose_modules(parse_dependencies(text, "i"))
    assert chosen == [
        "kernel/failover.ko.xz",
        "kernel/net-failover.ko.xz",
        "kernel/virtio_net.ko.xz",
    ]


@pytest.mark.parametrize("name", ["/etc/shadow", "../../x.ko", "kernel/x", "a/../../b.ko"])
def test_hostile_dependencies_are_refused(name: str) -> None:
    with pytest.raises(KedgeError, match="no module"):
        parse_dependencies(f"kernel/a.ko: {name}\n", "i")


def test_names_are_those_of_the_kernel() -> None:
    assert module_name("kernel/drivers/char/hw_random/virtio-rng.ko.zst") == "virtio_rng"


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(KedgeError, match="no kernel module"):
        pack_modules("6.1", ["kernel/a.ko"], lambda path: b"text", {}, "i")


def test_packing_is_reproducible() -> None:
    def pack() -> bytes:
        return pack_modules(
            "6.1", ["kernel/a.ko"], lambda path: b"\x7fELF", {"modules.dep": "kernel/a.ko:\n"}, "i"
        )

    assert pack() == pack()
    assert b"lib/modules/6.1/kernel/a.ko" in gzip.decompress(pack())


def test_arguments_label_then_file_then_default() -> None:
    label = {"kedge.kernel.args": "a=1 b"}
    assert kernel_arguments(label, b"c", "x86_64", "i") == ("a=1", "b")
    assert kernel_arguments({}, b"c d\n", "x86_64", "i") == ("c", "d")
    assert kernel_arguments({"kedge.kernel.args": ""}, b"c", "x86_64", "i") == ()
    assert any(
        arg.startswith("console=ttyAMA0") for arg in kernel_arguments({}, None, "aarch64", "i")
    )


@pytest.mark.parametrize(
    "text",
    [
        "kedge.token=x",
        "a;b",
        "a=${net0/mac}",
        "a && reboot",
        "a|b",
        "x=`id`",
        "ü",
        "a\0b",
        "a" * 600,
        "a " * 101,
    ],
)
def test_arguments_cannot_change_the_boot_script(text: str) -> None:
    with pytest.raises(KedgeError) as caught:
        kernel_arguments({"kedge.kernel.args": text}, None, "x86_64", "i")
    assert caught.value.code == "image.bad_kernel_args"
