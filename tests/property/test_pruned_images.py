"""Pruning images: whatever a node may get to want without an import, by files, release or rollout, stays.

Random sites, releases, overrides and rollouts, over the real site, releases and claims; images are small
files. What each node would want with every release is worked out as the master does it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeIo, FakeNode
from kedge.core.graph import Graph
from kedge.core.node import Observation
from kedge.master.intent.releases import KIND, Releases
from kedge.master.intent.wishes import Wishes
from kedge.master.process.clock import Clock
from kedge.master.rollout.image_claims import ImageClaims
from kedge.master.serve import installed_modules
from kedge.modules.image import prune as verb
from kedge.modules.image.blobs import write_blob
from kedge.modules.image.layers import ConvertedLayer
from kedge.modules.image.pins import pin, read_pins
from kedge.modules.image.relation import reference_of
from kedge.modules.image.store import (
    ImageRecord,
    Kernel,
    missing_blobs,
    read_records,
    write_record,
)
from kedge.rollout.model import FINAL, Progress, Rollout, State
from kedge.rollout.release import Release
from kedge.site.model import Site
from kedge.site.parts import release_parts
from kedge.stores.port import Intent
from kedge.stores.sqlite import SqliteStore

SEARCH = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GRAPH = Graph.of(installed_modules())
NODES = ("a1", "a2", "b1")
REFERENCES = tuple(f"r.example/c:{number}" for number in range(5))
NEVER = "r.example/never:1"
STATES: tuple[State, ...] = ("running", "paused", "rolling_back", "done", "aborted", "rolled_back")

references = st.sampled_from((*REFERENCES, "r.example/c:{v}"))
names = st.sampled_from(("", "A", "B", "C"))
profiles = st.tuples(references, references, references)  # of group a, of group b, of nobody


def files(images: tuple[str, str, str]) -> dict[str, str]:
    one, two, three = images
    return {
        "cluster.yaml": """
cluster: { name: t, domain: t.example }
networks: { provision: { cidr: 10.77.0.0/16 } }
groups:
  a: { nodes: "a[1-2]", profiles: [one], vars: { v: 1 } }
  b: { nodes: "b1", profiles: [two], vars: { v: 2 } }
nodes:
  "a[1-2]": { addresses: { provision: "10.77.1.{number}" } }
  b1: { boot.arch: aarch64, addresses: { provision: 10.77.2.1 } }
""",
        "profiles.yaml": f"""
profiles:
  one: {{ image.wanted: "{one}" }}
  two: {{ image.wanted: "{two}" }}
  three: {{ image.wanted: "{three}" }}
""",
    }


@st.composite
def worlds(draw: st.DrawFn) -> Any:
    """What was imported by which name and for which architecture, in order; what people decided."""
    arches = st.sampled_from(("x86_64", "aarch64"))
    imports = st.lists(st.tuples(st.sampled_from((*REFERENCES, NEVER)), arches), max_size=14)
    made = {name: (draw(profiles), draw(st.integers(0, 2**14 - 1))) for name in "ABC"}
    return SimpleNamespace(
        imports=draw(imports),
        site=draw(profiles),
        made=made,
        wanted=draw(st.dictionaries(st.sampled_from(NODES), st.sampled_from(REFERENCES))),
        assigned=draw(st.dictionaries(st.sampled_from(NODES), st.sampled_from("ABC"))),
        rollouts=draw(st.lists(st.tuples(st.sampled_from("ABC"), names, st.sampled_from(STATES)))),
        running=draw(st.dictionaries(st.sampled_from(NODES), st.integers(0, 13))),
        deleted=draw(st.sets(st.sampled_from("ABC"))),
    )


class World:
    """The real parts around a state directory."""

    def __init__(self, drawn: Any, state: Path) -> None:
        self.state, self.drawn = state, drawn
        self.records = [self._imported(n, *what) for n, what in enumerate(drawn.imports)]
        store = SqliteStore(":memory:")
        self.releases = Releases(store, GRAPH, Clock(), cast("Any", None))
        self.rollouts = {
            str(number): (self._rollout(str(number), *of[:2]), Progress(state=of[2]))
            for number, of in enumerate(drawn.rollouts)
        }
        needed = {name for _, (rollout, progress) in self.rollouts.items()
                  if progress.state not in FINAL
                  for name in (rollout.release, *rollout.was.values())}  # fmt: skip
        gone = drawn.deleted - needed - set(drawn.assigned.values())
        for name, (images, bits) in drawn.made.items():
            if name not in gone:
                release = Release(name, release_parts(files(images)), self._bound(images, bits))
                store.put(KIND, name, release.as_record())
        overrides: dict[str, dict[str, Any]] = {}
        for variable, values in (
            ("image.wanted", drawn.wanted),
            ("release.wanted", drawn.assigned),
        ):
            for node, value in values.items():
                overrides.setdefault(node, {})[variable] = {"value": value, "by": "", "at": 0.0}
        intent = store.commit(Intent(0, files(drawn.site), overrides, {}), 0)
        nobody = cast("Any", SimpleNamespace(site=None, nodes={}))
        self.wishes = Wishes(store, GRAPH, Clock(), nobody, nobody, self.releases)
        assert self.wishes.intent == intent

    def _imported(self, number: int, reference: str, arch: str) -> ImageRecord:
        blob = write_blob(self.state, f"layer {number}".encode())
        shared = write_blob(self.state, b"the same kernel")
        digest = "sha256:" + f"{number:064x}"
        made = ImageRecord(
            reference, digest, arch, "2026-01-01", 1,
            (ConvertedLayer(blob.blob, blob.size_bytes, digest),),
            Kernel("6", shared.blob, shared.size_bytes), shared, (),
        )  # fmt: skip
        write_record(self.state, made)
        if number % 5:
            pin(self.state, reference, arch, digest)
        return made

    def _bound(self, images: Any, bits: int) -> dict[str, dict[str, str]]:
        """Some of what was imported when the release was made."""
        found: dict[str, dict[str, str]] = {}
        for number, record in enumerate(self.records):
            if bits >> number & 1 and record.reference in images:
                found.setdefault(record.reference, {})[record.arch] = record.digest
        return found

    def _rollout(self, name: str, release: str, was: str) -> Rollout:
        return Rollout(name, release, {"a1": was}, (), 1)

    def io(self) -> FakeIo:
        io = FakeIo(state_dir=self.state)
        site = self.wishes.start()
        assert site is not None
        io.fake_nodes = {
            name: FakeNode(node, defaults={"boot.arch": "x86_64"})
            for name, node in site.nodes.items()
        }
        for node, number in self.drawn.running.items():
            if number < len(self.records):
                value = {"digest": self.records[number].digest}
                io.fake_nodes[node].discovered["image.running"] = Observation(value, 0.0, "agent")
        told = cast("Any", SimpleNamespace(every=self.rollouts))
        io.image_claims = ImageClaims(self.wishes, self.releases, told).found  # type: ignore[method-assign]
        return io

    def may_want(self) -> Iterator[tuple[str, str]]:
        """Every reference that a node has now, or would have with any release, or without overrides."""
        now = self.wishes.start()
        assert now is not None
        sites: list[Site] = [now, self.releases.base(self.wishes.intent)]
        sites += [self.releases._whole(self.wishes.intent, name) for name in self.releases.names()]
        for site in sites:
            for node in site.nodes.values():
                arch = str(node.values.get("boot.arch") or "x86_64")
                yield reference_of(node.values.get("image.wanted")), arch


@given(worlds())
@SEARCH
def test_what_anybody_may_want_stays_and_the_rest_goes(drawn: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        world = World(drawn, state)
        pins = read_pins(state)
        may_want = set(world.may_want())
        later = SimpleNamespace(time=lambda: time.time() + 10_000)
        with mock.patch.object(verb, "time", later):
            asyncio.run(verb.prune(world.io(), {"unused": True}))
        here = {record.digest: record for record in read_records(state)}
        assert not any(missing_blobs(state, record) for record in here.values())
        for reference, arch in may_want:
            digest = reference.partition("@")[2] or pins.get(f"{reference} {arch}", "")
            if any(record.digest == digest for record in world.records):
                assert digest in here, f"{reference} for {arch} went"
                assert "@" in reference or read_pins(state)[f"{reference} {arch}"] == digest
        runs = {world.records[n].digest for n in drawn.running.values() if n < len(world.records)}
        assert runs <= here.keys()
        for record in world.records:
            if record.reference == NEVER and record.digest not in runs:
                assert record.digest not in here
        blobs = {path.name for path in (state / "blobs" / "sha256").glob("*")}
        assert blobs == {b.blob[7:] for record in here.values() for b in record.blobs()}
