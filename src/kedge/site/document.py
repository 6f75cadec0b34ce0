"""Merges the folder's YAML files into one document by top-level keys."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.lib.errors import KedgeError
from kedge.lib.site_files import is_plain
from kedge.site import words
from kedge.site.problems import Place, Problems
from kedge.site.tree import Table, Tree, read_yaml

NOT_OF_THE_SITE = frozenset(("ci.yaml", "lab.yaml", "lab.yml"))
"""Files that may lie beside a site and describe something else."""


def read_document(files: Mapping[str, str], problems: Problems) -> dict[str, tuple[Tree, Place]]:
    """Top-level key -> its value and place, over all YAML files directly in the folder."""
    document: dict[str, tuple[Tree, Place]] = {}
    for name in files:
        if not is_plain(name):
            problems.refuse(
                "file_name",
                Place(),
                f"{name[:80]!r} is no name of a file in a site's folder",
                next_step="Name files relative to the folder: rollouts/weekly.yaml",
            )
    names = sorted(
        name
        for name in files
        if name.endswith((".yaml", ".yml")) and "/" not in name and name not in NOT_OF_THE_SITE
    )
    for name in names:
        try:
            tree = read_yaml(files[name], name, problems)
        except KedgeError as error:
            file, _, line = error.where.rpartition(":")
            problems.add(
                error, Place(file, int(line)) if file and line.isdecimal() else Place(name)
            )
            continue
        if isinstance(tree, Table):
            _merge(tree, document, problems)
        elif tree is not None:
            problems.refuse(
                "not_a_mapping",
                tree.place,
                "a file of a site must be a mapping",
                next_step=f"Begin with one of {', '.join(words.SECTIONS)}",
            )
    if not names:
        problems.refuse(
            "empty",
            Place(),
            "the folder holds no YAML file",
            next_step="Begin with: kedge init, or copy examples/01-lab",
        )
    return document


def _merge(tree: Table, document: dict[str, tuple[Tree, Place]], problems: Problems) -> None:
    for key, value in tree.entries.items():
        place = tree.keys[key]
        if key not in words.SECTIONS:
            problems.unknown("unknown_key", place, "top-level key", key, words.SECTIONS)
        elif key in document:
            problems.refuse(
                "duplicate_key",
                place,
                f"{key!r} is also given in {document[key][1]}",
                next_step="Put both into one file",
            )
        else:
            document[key] = value, place
