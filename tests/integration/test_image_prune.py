"""Pruning images of a real registry, as it is typed: what site, nodes and releases need stays to the byte."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oci_images import (
    PASSWORD,
    USER,
    Registry,
    base_layer,
    running_registry,
    top_layer,
    write_layout,
)

from kedge.api.server import api_serving
from kedge.cli.main import run
from kedge.master.process.settings import Settings
from kedge.master.serve import serving
from kedge.modules.image import prune as verb
from kedge.modules.image.blobs import verify_blob
from kedge.modules.image.pins import read_pins
from kedge.modules.image.store import missing_blobs, read_records

TOOLS = ("docker-registry", "htpasswd", "openssl", "skopeo", "mksquashfs", "unsquashfs", "zstd")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
)
SITE = """
cluster: {{ name: t, domain: t.example }}
networks: {{ provision: {{ cidr: 127.0.0.0/8 }} }}
profiles:
  compute: {{ image.wanted: "{}" }}
  spare: {{ image.wanted: "{}" }}
groups: {{ all: {{ nodes: "n[1-2]", profiles: [compute] }} }}
nodes: {{ "n[1-2]": {{ hold: "not there", addresses: {{ provision: "127.9.0.{{number}}" }} }} }}
"""


class Head:
    """A head with a real registry, and the commands."""

    def __init__(
        self, folder: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.registry, self.capsys = folder, registry, capsys
        self.state = folder / "state"
        self.site = folder / "site"
        self.site.mkdir()

    def push(self, *versions: str) -> None:
        layout = self.folder / "layout"
        for version in versions:
            write_layout(layout, version, [base_layer(), top_layer(version)])
            self.registry.push(layout, version, f"c:{version}")

    def reference(self, version: str) -> str:
        return f"{self.registry.address}/c:{version}"

    def write(self, compute: str, spare: str) -> str:
        text = SITE.format(self.reference(compute), self.reference(spare))
        (self.site / "site.yaml").write_text(text)
        return str(self.site)

    async def kedge(self, *words: str) -> str:
        self.capsys.readouterr()
        status = await asyncio.to_thread(run, list(words))
        told = self.capsys.readouterr()
        assert status == 0, (words, told.err)
        return told.out + told.err

    async def ask(self, *words: str) -> Any:
        return json.loads(await self.kedge(*words, "-o", "json"))

    def here(self) -> set[str]:
        """The versions that are here, each whole."""
        records = read_records(self.state)
        for record in records:
            assert missing_blobs(self.state, record) == ()
            for blob in record.blobs():
                verify_blob(self.state, blob.blob)
        return {record.reference.rpartition(":")[2] for record in records}


@asynccontextmanager
async def head(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Head]:
    state = folder / "state"
    monkeypatch.setenv("KEDGE_API", str(state / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(state / "api.token"))
    with running_registry(folder / "registry") as registry:
        made = Head(folder, registry, capsys)
        sections: dict[str, Any] = {
            "boot": {"dhcp": "off", "tftp": False, "router_advertisements": False, "http_port": 0},
            "image": {
                "registries": {registry.address: {"credentials": "reg", "ca": str(registry.ca)}}
            },
        }
        state.mkdir()
        secrets = state / "secrets.yaml"
        secrets.touch(0o600)
        secrets.write_text(json.dumps({"reg": {"username": USER, "password": PASSWORD}}))
        settings = Settings(
            state, state / "api.sock", sync_address="127.0.0.1", sync_port=0, sections=sections
        )
        async with serving(settings) as ops, api_serving(ops, settings):
            yield made


async def test_what_nobody_needs_goes_and_one_release_back_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry").mkdir()
    async with head(tmp_path, capsys, monkeypatch) as made:
        versions = ("1", "2", "3", "4")
        made.push(*versions)
        for version in versions:
            await made.kedge("image", "import", made.reference(version))
        site = made.write("1", "4")
        await made.kedge("apply", site, "--yes")
        await made.kedge("release", "create", "A", "--site", site)
        await made.kedge("apply", made.write("2", "4"), "--yes")
        rows = {row["reference"][-1]: row for row in await made.ask("image", "list")}
        assert rows["1"]["needed_by"]["releases"] == ["A"] and not rows["1"]["needed_by"]["wanted"]
        assert rows["2"]["needed_by"]["wanted"] == "n[1-2]"
        assert rows["4"]["needed_by"]["files"] == ["site.yaml"]  # a profile that no node has
        assert not any(rows["3"]["needed_by"].values())
        table = await made.kedge("image", "list")
        assert "wanted by n[1-2] (2)" in table and "nothing" in table and "release A" in table

        fresh = await made.ask("image", "prune", "--unused", "--dry-run")
        assert fresh["images"] == [] and fresh["blobs"] == []
        later = SimpleNamespace(time=lambda: time.time() + 7200)
        monkeypatch.setattr(verb, "time", later)
        told = await made.kedge("image", "prune", "--unused", "--dry-run")
        assert "1 image and 1 blob" in told and "3 images would stay" in told
        assert made.here() == {"1", "2", "3", "4"}
        done = await made.ask("image", "prune", "--unused", "--yes")
        assert [image["reference"] for image in done["images"]] == [made.reference("3")]
        assert made.here() == {"1", "2", "4"}
        assert f"{made.reference('3')} x86_64" not in read_pins(made.state)
        assert "nothing needs it" in await made.kedge("events")

        # back to A: nothing is pulled
        await made.kedge("node", "set", "n[1-2]", "release.wanted=A", "--yes")
        rows = {row["reference"][-1]: row for row in await made.ask("image", "list")}
        assert rows["1"]["needed_by"]["wanted"] == "n[1-2]"
        await made.kedge("node", "unset", "n[1-2]", "release.wanted", "--yes")

        # a release that nobody has can go, and its image then
        await made.kedge("release", "delete", "A", "--yes")
        await made.kedge("image", "prune", "--unused", "--yes")
        assert made.here() == {"2", "4"}
        await made.kedge("image", "import", made.reference("1"))
        assert made.here() == {"1", "2", "4"}
