"""Releases: making them from a site's folder, keeping them, and the site in which nodes have theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kedge import __version__
from kedge.core.graph import Graph
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.intent.release_images import Needs, find_digests
from kedge.master.persistence.journal import Journal
from kedge.master.process.clock import Clock
from kedge.modules.port import Io
from kedge.rollout.model import FINAL
from kedge.rollout.release import Release, check_name, read_release
from kedge.site.diff import Change, diff
from kedge.site.loading import load
from kedge.site.model import Site
from kedge.site.parts import release_parts
from kedge.site.releasing import WANTED, Bound, load_release, with_releases
from kedge.stores.port import Intent, Store

KIND = "release"
ROLLOUTS = "rollout"
MOST = 500
MOST_LOADED = 4
"""So many releases are kept loaded that no node has now: somebody plans, or compares."""


class Releases:
    """All releases of the store. Sites that were loaded with one are kept until it or the site changes."""

    def __init__(self, store: Store, graph: Graph, clock: Clock, journal: Journal) -> None:
        self._store = store
        self._graph = graph
        self._clock = clock
        self._journal = journal
        self._known: dict[str, Release] = {}
        self._made_at: dict[str, float] | None = None
        self._base: tuple[Mapping[str, str], Site] | None = None
        self._loaded: dict[str, tuple[Site, frozenset[str], Site]] = {}

    def adopt(self, graph: Graph) -> None:
        """Other modules declare other variables: read everything with them from now on."""
        self._graph = graph
        self._base, self._loaded = None, {}

    # looking

    def names(self) -> list[str]:
        """All releases, the oldest first."""
        if self._made_at is None:
            records = self._store.records(KIND)
            self._made_at = {name: record["at"] for name, record in records.items()}
        made_at = self._made_at
        return sorted(made_at, key=lambda name: (made_at[name], name))

    def get(self, name: str) -> Release:
        """One release; raises `KedgeError` when there is none of that name."""
        if name not in self._known:
            record = self._store.records(KIND).get(name)
            if record is None:
                raise KedgeError(
                    "release.unknown",
                    f"no release {name!r}",
                    next_step=f"Known: {', '.join(self.names()) or 'none'}. "
                    "Make one with: kedge release create",
                )
            self._known[name] = read_release(record)
        return self._known[name]

    # the site with releases

    def site_of(self, intent: Intent) -> Site:
        """The site that the intent's files describe, each node as its release has it."""
        site = self._loaded_base(intent.files)
        assigned = assignments(site, intent)
        if not assigned:
            return site
        groups: dict[str, set[str]] = {}
        for node, name in assigned.items():
            groups.setdefault(name, set()).add(site.nodes[node].group)
        released = {
            name: self._with(site, intent.files, name, frozenset(needed))
            for name, needed in groups.items()
        }
        if len(self._loaded) > MOST_LOADED:
            self._loaded = {name: kept for name, kept in self._loaded.items() if name in groups}
        return with_releases(site, released, assigned)

    def base(self, intent: Intent) -> Site:
        """The site that the intent's files alone describe."""
        return self._loaded_base(intent.files)

    def _loaded_base(self, files: Mapping[str, str]) -> Site:
        if self._base is None or (self._base[0] is not files and self._base[0] != files):
            self._base = files, load(files, self._graph.variables)
        return self._base[1]

    def _with(
        self, site: Site, files: Mapping[str, str], name: str, groups: frozenset[str]
    ) -> Site:
        kept = self._loaded.get(name)
        have, known = frozenset[str](), None
        if kept is not None and kept[0] is site:
            have, known = kept[1], kept[2]
        missing = groups - have
        if known is not None and not missing:
            return known
        found = self._load(site, files, self.get(name), missing)
        if known is not None:
            found = replace(
                known,
                nodes={**known.nodes, **found.nodes},
                origins={**known.origins, **found.origins},
                files={**known.files, **found.files},
            )
        self._loaded[name] = site, have | groups, found
        return found

    def _load(
        self, site: Site, files: Mapping[str, str], release: Release, groups: frozenset[str]
    ) -> Site:
        def bind(node: Configuration) -> Configuration:
            wanted = node.values.get("image.wanted")
            values = {**node.values, WANTED: release.name}
            if isinstance(wanted, str):
                values["image.wanted"] = release.pinned(wanted, self._arch(node))
            return replace(node, values=values)

        bound = Bound(release.name, release.files, bind)
        return load_release(site, files, bound, groups, self._graph.variables)

    def _arch(self, node: Configuration) -> str:
        variable = self._graph.variables.get("boot.arch")
        return str(node.values.get("boot.arch") or (variable.default if variable else ""))

    def compare(self, intent: Intent, before: str, after: str) -> list[Change]:
        """What the nodes of the site would do otherwise with ``after`` than with ``before`` (empty: the
        applied site without any release)."""
        return diff(self._whole(intent, before), self._whole(intent, after))

    def _whole(self, intent: Intent, name: str) -> Site:
        site = self._loaded_base(intent.files)
        if not name:
            return site
        found = self._load(site, intent.files, self.get(name), frozenset(site.groups))
        return with_releases(site, {name: found}, dict.fromkeys(site.nodes, name))

    # making

    async def create(
        self,
        io: Io,
        intent: Intent,
        name: str,
        files: Mapping[str, str],
        commit: str,
        services: Mapping[str, str],
        by: str,
    ) -> Release:
        """Bind what ``files`` (a site's folder) say to ``name``, whole or not at all.

        Images are looked up in their registries; one that is not there refuses the release.
        """
        check_name(name)
        parts = release_parts(files)
        at = self._clock.wall()
        draft = Release(name, parts, {}, dict(services), commit, by, at, __version__)
        earlier = self._store.records(KIND)
        if len(earlier) >= MOST:
            raise KedgeError(
                "release.too_many", f"there are {MOST} releases",
                next_step="Delete old ones: kedge release delete NAME",
            )  # fmt: skip
        needs = self._needs(intent, draft)
        images = await find_digests(io, self._graph, name, needs)
        release = replace(draft, images=images)
        same = self._refuse_other(name, release)
        if same is not None:
            return same
        self._store.put(KIND, name, release.as_record())
        self._made_at = None
        what = f"{len(parts)} files, {sum(map(len, images.values()))} images"
        self._journal.write("", "release", name, after=what, cause=by)
        self._journal.publish("release", {"name": name})
        return release

    def _refuse_other(self, name: str, release: Release) -> Release | None:
        """The release of that name where it binds the same; raises where it binds something else."""
        record = self._store.records(KIND).get(name)
        if record is None:
            return None
        known = read_release(record)
        if known.digest == release.digest:
            return known
        raise KedgeError(
            "release.exists",
            f"there is a release {name} already, and it is not this one",
            why="a release never changes",
            next_step="Choose another name",
        )

    def _needs(self, intent: Intent, release: Release) -> Needs:
        """Which images the release's nodes need, also of profiles that no node has now."""
        site = self._loaded_base(intent.files)
        if not site.nodes:
            raise KedgeError(
                "release.no_site", "there is no site that a release could be for",
                next_step="Apply one first: kedge apply FOLDER",
            )  # fmt: skip
        found = self._load(site, intent.files, release, frozenset(site.groups))
        needs: dict[tuple[str, str], list[str]] = {}
        for node in found.nodes.values():
            wanted = node.values.get("image.wanted")
            if isinstance(wanted, str):
                needs.setdefault((wanted, self._arch(node)), []).append(node.name)
        return needs

    def delete(self, name: str, intent: Intent, by: str) -> None:
        """Forget a release that no node has."""
        self.get(name)
        site = self._loaded_base(intent.files) if intent.files else None
        users = [n for n, r in assignments(site, intent).items() if r == name] if site else []
        if users:
            raise KedgeError(
                "release.in_use", f"release {name} is that of {fold(users)}",
                next_step="Move them to another one first: kedge rollout start",
            )  # fmt: skip
        for rollout, record in self._store.records(ROLLOUTS).items():
            needs = {record["rollout"]["release"], *record["rollout"]["was"]}
            if name in needs and record["progress"]["state"] not in FINAL:
                raise KedgeError(
                    "release.in_use", f"release {name} is needed by rollout {rollout}",
                    next_step=f"Wait for it, or end it: kedge rollout abort {rollout}",
                )  # fmt: skip
        self._store.put(KIND, name, None)
        self._made_at = None
        self._known.pop(name, None)
        self._loaded.pop(name, None)
        self._journal.write("", "release", name, after="deleted", cause=by)

    def row(self, name: str, assigned: Mapping[str, str]) -> dict[str, Any]:
        """A release in one line, with the nodes that have it."""
        release = self.get(name)
        return {
            "name": name,
            "commit": release.commit,
            "by": release.by,
            "at": release.at,
            "kedge": release.kedge,
            "images": sum(map(len, release.images.values())),
            "digest": release.digest,
            "nodes": fold(node for node, found in assigned.items() if found == name),
        }


def assignments(site: Site, intent: Intent) -> dict[str, str]:
    """Node -> release, of those that have one: set by command, or written in the site's files."""
    found: dict[str, str] = {}
    for name, node in site.nodes.items():
        entry = intent.overrides.get(name, {}).get(WANTED)
        release = entry["value"] if entry is not None else node.values.get(WANTED)
        if release:
            found[name] = str(release)
    return found
