"""Images that cannot be imported: a reason, what to do next, no secret, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from image_oracle import Layer
from oci_images import (
    PASSWORD,
    USER,
    Registry,
    base_layer,
    run,
    running_registry,
    top_layer,
    write_layout,
)

from kedge.lib.errors import KedgeError
from kedge.modules.image import skopeo
from kedge.modules.image.access import RegistryAccess
from kedge.modules.image.importer import import_image
from kedge.modules.image.store import (
    read_records,
)

TOOLS = ("docker-registry", "htpasswd", "openssl", "skopeo", "mksquashfs", "unsquashfs", "zstd")


pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
)


async def refusal(
    reference: str, access: RegistryAccess, tmp_path: Path, arch: str = "x86_64"
) -> KedgeError:
    with pytest.raises(KedgeError) as caught:
        await import_image(reference, arch, tmp_path / "s", access=access)
    assert PASSWORD not in str(caught.value)
    assert caught.value.next_step
    assert read_records(tmp_path / "s") == []
    assert not list((tmp_path / "s" / "blobs").rglob("*"))
    return caught.value


async def test_what_can_be_wrong_with_a_registry(
    compute: str, registry: Registry, access: RegistryAccess, tmp_path: Path
) -> None:
    ca = str(registry.ca)
    cases = {
        compute[:-1] + "99": (access, "image.not_found"),
        compute.removesuffix(":1") + "@sha256:" + "0" * 64: (access, "image.not_found"),
        f"{registry.address}/nothing/here:1": (access, "image.not_found"),
        "127.0.0.1:9/compute:1": (access, "image.registry_down"),
        "registry.invalid/compute:1": (access, "image.registry_down"),
    }
    for reference, (how, code) in cases.items():
        assert (await refusal(reference, how, tmp_path)).code == code, reference
    wrong = RegistryAccess(USER, "wrong-password", ca=ca)
    error = await refusal(compute, wrong, tmp_path)
    assert (
        error.code == "image.auth_refused"
        and USER in str(error)
        and "wrong-password" not in str(error)
    )
    assert (await refusal(compute, RegistryAccess(ca=ca), tmp_path)).code == "image.auth_refused"
    assert (
        await refusal(compute, RegistryAccess(USER, PASSWORD), tmp_path)
    ).code == "image.tls_unknown"
    missing = RegistryAccess(USER, PASSWORD, ca=str(tmp_path / "none.crt"))
    assert (await refusal(compute, missing, tmp_path)).code == "image.ca_unreadable"


async def test_plain_http_only_when_allowed(tmp_path: Path) -> None:
    with running_registry(tmp_path / "plain", tls=False) as plain:
        write_layout(tmp_path / "layout", "1", [base_layer()])
        copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
        run([*copy, f"oci:{tmp_path}/layout:1", f"docker://{plain.address}/c:1"])
        error = await refusal(f"{plain.address}/c:1", RegistryAccess(), tmp_path)
        assert error.code == "image.plain_http" and "insecure: true" in error.next_step
        await import_image(
            f"{plain.address}/c:1", "x86_64", tmp_path / "s", access=RegistryAccess(insecure=True)
        )


async def test_silent_registry_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skopeo, "_QUICK_TIMEOUT_S", 0.5)
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(30), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await refusal(f"127.0.0.1:{port}/c:1", RegistryAccess(), tmp_path)
    assert error.code == "image.registry_silent"


@pytest.mark.parametrize(
    ("what", "code"), [("layer", "image.layer_corrupt"), ("manifest", "image.bad_manifest")]
)
async def test_corrupted_in_the_registry(
    what: str, code: str, registry: Registry, access: RegistryAccess, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    digest = write_layout(layout, "1", [Layer().file("only-here", what.encode()).bytes()])
    reference = registry.push(layout, "1", f"corrupt-{what}:1")
    if what == "layer":
        manifest = json.loads((layout / "blobs" / "sha256" / digest[7:]).read_text())
        digest = manifest["layers"][0]["digest"]
    stored = registry.storage / "blobs" / "sha256" / digest[7:9] / digest[7:] / "data"
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 0xFF
    stored.write_bytes(content)
    assert (await refusal(reference, access, tmp_path)).code == code


async def test_wrong_architecture_and_no_kernel(
    compute: str, registry: Registry, access: RegistryAccess, tmp_path: Path
) -> None:
    error = await refusal(compute, access, tmp_path, arch="aarch64")
    assert error.code == "image.wrong_arch" and "amd64" in str(error)
    write_layout(tmp_path / "l", "1", [top_layer("no kernel")])
    reference = registry.push(tmp_path / "l", "1", "kernelless:1")
    with pytest.raises(KedgeError) as caught:
        await import_image(reference, "x86_64", tmp_path / "s", access=access)
    assert caught.value.code == "image.no_kernel"
    assert read_records(tmp_path / "s") == []
