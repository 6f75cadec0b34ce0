"""Lays releases over a site: which nodes there are comes from the site, what they run from a release.

A node without a release runs what the applied site says. Of the others everything that profiles,
overlays and host files say comes from their release's texts; cluster, networks, groups, entries of
``nodes:`` and MACs stay the site's, on the layers where they always are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from kedge.core.node import Configuration
from kedge.core.variable import Variable
from kedge.lib import nodeset
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.site import parts, words
from kedge.site.document import read_document
from kedge.site.draft import read_draft
from kedge.site.loading import site_of, try_files
from kedge.site.model import FileTemplate, Origin, Site
from kedge.site.problems import Place, Problems
from kedge.site.resolve import Resolver
from kedge.site.tree import Table, Tree

WANTED = "release.wanted"
"""The configured variable that says which release a node shall run; empty: the applied site."""

Document = dict[str, tuple[Tree, Place]]
Bind = Callable[[Configuration], Configuration]


@dataclass(frozen=True, slots=True)
class Bound:
    """A release as the site's files are: its name, its texts, and how it pins a node's image."""

    name: str
    files: Mapping[str, str]
    bind: Bind


def load_release(
    site: Site,
    files: Mapping[str, str],
    release: Bound,
    groups: Collection[str],
    variables: Mapping[str, Variable],
) -> Site:
    """The nodes of these groups of ``site`` (loaded from ``files``) as ``release`` has them.

    Raises one `KedgeErrors` where the release does not fit the site (a profile that it lacks).
    """
    problems = Problems()
    document = read_document(files, problems)
    bound = read_document(release.files, problems) if release.files else {}
    problems.raise_any()
    for section in parts.SECTIONS:
        document.pop(section, None)
        if section in bound:
            document[section] = bound[section]
    _restrict(document, site, groups)
    try:
        draft = read_draft(document, {**files, **release.files}, variables, problems)
        resolved = Resolver(draft, variables, problems).run()
        found = replace(site_of(draft, resolved), budgets=site.budgets, settings=site.settings)
        problems.raise_any()
        try_files(found, problems)
        problems.raise_any()
    except KedgeErrors as errors:
        raise KedgeErrors([_misfit(release.name, error) for error in errors.errors]) from None
    return _marked(found, release)


def _restrict(document: Document, site: Site, groups: Collection[str]) -> None:
    """Leave out what concerns other groups only: they may need what this release does not have."""
    members = {node for group in groups for node in site.groups[group].nodes}
    _keep(document, "groups", lambda key: key in groups)
    _keep(document, "nodes", lambda key: not members.isdisjoint(_expanded(key)))
    for section in ("budgets", "settings"):
        document.pop(section, None)


def _keep(document: Document, section: str, wanted: Callable[[str], bool]) -> None:
    tree, place = document.get(section, (None, Place()))
    if isinstance(tree, Table):
        entries = {key: value for key, value in tree.entries.items() if wanted(key)}
        document[section] = Table(entries, tree.keys, tree.place), place


def _expanded(text: str) -> list[str]:
    return [text] if words.NODE_NAME.fullmatch(text) else nodeset.expand(text)


def _misfit(name: str, error: KedgeError) -> KedgeError:
    return KedgeError(
        error.code,
        f"release {name} does not fit the site: {error.what}",
        where=error.where,
        why=error.why,
        next_step=error.next_step,
    )


def _marked(site: Site, release: Bound) -> Site:
    """With images pinned, and origins that name the release where it wrote the value."""
    marked: dict[int, Mapping[str, Origin]] = {}
    for origins in site.origins.values():
        if id(origins) not in marked:
            marked[id(origins)] = {key: _mark(one, release) for key, one in origins.items()}
    return replace(
        site,
        nodes={name: release.bind(node) for name, node in site.nodes.items()},
        origins={name: marked[id(origins)] for name, origins in site.origins.items()},
    )


def _mark(origin: Origin, release: Bound) -> Origin:
    if not origin.layer.startswith(("profile ", "overlay ", "files")):
        return origin
    return replace(origin, layer=f"release {release.name}: {origin.layer}")


def with_releases(site: Site, released: Mapping[str, Site], assigned: Mapping[str, str]) -> Site:
    """The site in which each node of ``assigned`` is as its release has it."""
    nodes, origins = dict(site.nodes), dict(site.origins)
    files: dict[str, tuple[FileTemplate, ...]] = dict(site.files)
    for name, release in assigned.items():
        found = released[release]
        nodes[name] = found.nodes[name]
        origins[name] = found.origins[name]
        files[name] = found.files[name]
    return replace(site, nodes=nodes, origins=origins, files=files)
