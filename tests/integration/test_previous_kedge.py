"""What a former Kedge wrote goes on under this one: its releases, and a rollout in the middle.

``fixtures/rolling-1.json`` was frozen when both had their first format. It is never made anew: a new format
gets a file of its own beside it, and all of them must go on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_releases import running
from test_rollouts import Rolling, environment

from kedge.stores.port import Intent
from kedge.stores.sqlite import SqliteStore

__all__ = ("environment",)

FROZEN = sorted((Path(__file__).parent / "fixtures").glob("rolling-*.json"))


def put_back(folder: Path, frozen: dict[str, Any]) -> None:
    """The store as the former Kedge left it: eight nodes, two of them on the new release already."""
    (folder / "state").mkdir()
    store = SqliteStore(folder / "state/kedge.db")
    store.commit(Intent(files=frozen["files"], overrides=frozen["overrides"]), 0)
    for kind, records in frozen["records"].items():
        for key, record in records.items():
            store.put(kind, key, record)
    store.close()


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
async def test_a_rollout_of_a_former_kedge_goes_on_to_its_release_and_from_it(
    environment: Path, capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    put_back(environment, json.loads(path.read_text()))
    async with running(environment) as cluster:
        rolling = Rolling(cluster, capsys)
        assert rolling.releases() == {"2026.10": "n[3-8]", "2026.11": "n[1-2]"}
        found = await rolling.until(
            lambda f: f["waits"] and "for approval" in f["waits"][0], machines_forget=True
        )
        assert found["stages"][0]["gates"][0]["state"] == "passed", "it does not run again"
        await rolling.until(lambda f: f["out"] == 0, machines_forget=True)
        await rolling.kedge("rollout", "approve", "weekly")
        await rolling.until(lambda f: f["state"] == "done")
        assert rolling.releases() == {"2026.10": "", "2026.11": "n[1-8]"}
        node = cluster.operations.node("n5")
        assert node["discovered"]["image.running"]["value"].startswith(
            "registry.example:5000/compute:2@sha256:"
        )
        await rolling.kedge("rollout", "rollback", "weekly", "--yes")
        await rolling.until(lambda f: f["state"] == "rolled_back")
        assert rolling.releases() == {"2026.10": "n[1-8]", "2026.11": ""}
        # and from its release to one of this Kedge
        cluster.write("3")
        await rolling.kedge("release", "create", "2026.12", "--site", str(cluster.site))
        await rolling.kedge("release", "diff", "2026.11", "2026.12")
        await rolling.kedge("rollout", "start", "weekly", "--release", "2026.12", "--yes")
        await rolling.until(lambda f: f["waits"] and "for approval" in f["waits"][0])
        await rolling.kedge("rollout", "approve", "weekly")
        await rolling.until(lambda f: f["state"] == "done")
        await rolling.kedge("rollout", "rollback", "weekly", "--yes")
        await rolling.until(lambda f: f["state"] == "rolled_back")
        assert rolling.releases() == {"2026.10": "n[1-8]", "2026.11": "", "2026.12": ""}
