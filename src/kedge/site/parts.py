"""Cuts out of a site's folder what says which software nodes run; a release binds that and no more.

Lines that are left out become empty ones, so that every place (``cluster.yaml:20``) stays true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kedge.lib.errors import KedgeError
from kedge.site.document import NOT_OF_THE_SITE, read_document
from kedge.site.problems import Problems
from kedge.site.tree import Items, Scalar, Table, Tree, plain, read_yaml

SECTIONS = ("profiles", "overlays", "files")
"""The sections that a release binds. The others say which nodes there are, and stay the site's."""


def release_parts(files: Mapping[str, str]) -> dict[str, str]:
    """The texts that a release of this folder holds; raises `KedgeErrors` for what is no site."""
    problems = Problems()
    document = read_document(files, problems)
    problems.raise_any()
    trees = [document[section][0] for section in SECTIONS if section in document]
    found = {name: _cut(files[name], name) for name in sorted(files) if _is_document(name)}
    named = {text for tree in trees for text in _texts(tree)}
    found.update({name: files[name] for name in sorted(files) if name in named})
    return {name: text for name, text in found.items() if text.strip()}


def _is_document(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and "/" not in name and name not in NOT_OF_THE_SITE


def _texts(tree: Tree) -> Iterator[str]:
    if isinstance(tree, Scalar):
        yield tree.raw
        return
    for inner in tree.items if isinstance(tree, Items) else tree.entries.values():
        yield from _texts(inner)


def _cut(text: str, name: str) -> str:
    """The file with its other sections blanked; whole where that would change what it says."""
    tree = read_yaml(text, name, Problems())
    if not isinstance(tree, Table):
        return ""
    if not any(section in tree.entries for section in SECTIONS):
        return ""
    lines = text.split("\n")
    places = sorted((tree.keys[key].line - 1, key) for key in tree.entries)
    kept = [""] * len(lines)
    for number, (first, key) in enumerate(places):
        if key in SECTIONS:
            end = places[number + 1][0] if number + 1 < len(places) else len(lines)
            kept[first:end] = lines[first:end]
    short = "\n".join(kept).rstrip("\n") + "\n"
    return short if _bound(_read(short, name)) == _bound(tree) else text


def _read(text: str, name: str) -> Tree | None:
    try:
        return read_yaml(text, name, Problems())
    except KedgeError:  # an alias whose anchor is in a section that was cut
        return None


def _bound(tree: Tree | None) -> object:
    if not isinstance(tree, Table):
        return None
    return {key: plain(tree.entries[key]) for key in SECTIONS if key in tree.entries}
