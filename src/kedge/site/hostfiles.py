"""Reads host files (overlays): which path gets which template, mode and owner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.lib.errors import KedgeError
from kedge.lib.host_files import parse_host_files
from kedge.site import words
from kedge.site.model import FileTemplate, Origin
from kedge.site.problems import Place, Problems, shorten
from kedge.site.tree import Items, Scalar, Table, Tree

MOST_TEMPLATE = 1_000_000
MOST_PATH = 1000
_OCTAL = re.compile(r"0?o?([0-7]{3,4})")
_OWNER = re.compile(r"(root|[0-9]{1,9})(?::(root|[0-9]{1,9}))?")


@dataclass(slots=True)
class Overlays:
    """The named sets of host files, and the texts of the folder that templates are taken from."""

    texts: Mapping[str, str]
    sets: dict[str, dict[str, FileTemplate]] = field(
        default_factory=dict[str, dict[str, FileTemplate]]
    )

    def attach(self, tree: Tree, problems: Problems) -> dict[str, FileTemplate]:
        """The files of the overlays that a layer names; later ones win."""
        found: dict[str, FileTemplate] = {}
        for name, place in names_of(tree, "overlays", problems):
            if name in self.sets:
                found.update(self.sets[name])
            else:
                problems.unknown("unknown_overlay", place, "overlay", name, self.sets)
        return found


def names_of(tree: Tree, what: str, problems: Problems) -> list[tuple[str, Place]]:
    """A list of names (one name alone is a list of one), each with its place."""
    items = tree.items if isinstance(tree, Items) else (tree,)
    found: list[tuple[str, Place]] = []
    for item in items:
        if not isinstance(item, Scalar) or item.value is None:
            problems.refuse("not_a_text", item.place, f"{what} must be a list of names")
        elif any(item.raw == name for name, _ in found):
            problems.refuse("given_twice", item.place, f"{what}: {item.raw!r} is given twice")
        else:
            found.append((item.raw, item.place))
    return found


def read_files(
    tree: Tree, layer: str, overlays: Overlays, problems: Problems
) -> dict[str, FileTemplate]:
    """Host files: ``/etc/motd: motd.j2`` or a mapping with template or text, mode and owner."""
    if not isinstance(tree, Table):
        if not (isinstance(tree, Scalar) and tree.value is None):
            problems.refuse("not_a_mapping", tree.place, f"{layer}: files must be a mapping")
        return {}
    found: dict[str, FileTemplate] = {}
    for path, spec in tree.entries.items():
        place = tree.keys[path]
        if fault := _path_fault(path):
            problems.refuse(
                "bad_path",
                place,
                f"{shorten(path, 80)!r} is no path of a host file",
                why=fault,
                next_step="Write it in full, like /etc/motd",
            )
        elif file := _read_file(path, spec, place, layer, overlays, problems):
            found[path] = file
    return found


def _path_fault(path: str) -> str:
    """Why a node would refuse to write this path, or an empty text."""
    if not path.isprintable() or len(path) > MOST_PATH:
        return "it is too long or holds characters that cannot be seen"
    try:
        parse_host_files([{"path": path, "content": ""}])
    except KedgeError as error:
        return error.why
    return ""


def _read_file(
    path: str, spec: Tree, place: Place, layer: str, overlays: Overlays, problems: Problems
) -> FileTemplate | None:
    fields: dict[str, Tree] = {"template": spec}
    if isinstance(spec, Table):
        fields = spec.entries
        for key in fields:
            if key not in words.FILE_KEYS:
                problems.unknown("unknown_key", spec.keys[key], "key", key, words.FILE_KEYS)
    if ("template" in fields) == ("text" in fields):
        problems.refuse(
            "bad_file",
            place,
            f"{path} needs either template (a file of the folder) or text",
            next_step=f"{path}: {{ template: templates/motd.j2, mode: 0644 }}",
        )
        return None
    origin = Origin(layer, place.file, place.line)
    body = _template(path, fields, overlays, problems)
    mode = _mode(fields.get("mode"), problems)
    owner = _owner(fields.get("owner"), problems)
    if body is None or mode is None or owner is None:
        return None
    return FileTemplate(path, body[0], mode, owner[0], owner[1], origin, body[1])


def _template(
    path: str, fields: Mapping[str, Tree], overlays: Overlays, problems: Problems
) -> tuple[str, str] | None:
    """The template's text, and what to call it in errors."""
    tree = fields.get("text", fields.get("template"))
    if not isinstance(tree, Scalar) or tree.value is None:
        place = tree.place if tree else Place()
        problems.refuse("bad_file", place, f"{path}: its template must be a text")
        return None
    text, source = tree.raw, str(tree.place)
    if "text" not in fields:
        found = overlays.texts.get(tree.raw)
        if found is None:
            problems.unknown(
                "unknown_template",
                tree.place,
                "template file",
                tree.raw,
                [name for name in overlays.texts if not name.endswith((".yaml", ".yml", ".csv"))],
                next_step="template names a file of the site's folder; use text: for the text itself",
            )
            return None
        text, source = found, tree.raw
    if len(text) > MOST_TEMPLATE:
        problems.refuse("too_large", tree.place, f"{path}: longer than {MOST_TEMPLATE} characters")
        return None
    if words.is_secret_text(text):
        problems.refuse(
            "secret_inline",
            tree.place,
            f"{path}: {source} holds a private key",
            next_step="Keep private keys out of the site's folder",
        )
        return None
    return text, source


def _mode(tree: Tree | None, problems: Problems) -> int | None:
    if tree is None:
        return 0o644
    match = _OCTAL.fullmatch(tree.raw) if isinstance(tree, Scalar) else None
    if match is None:
        problems.refuse("bad_value", tree.place, "mode must be octal", next_step="Give 0644")
        return None
    return int(match[1], 8)


def _owner(tree: Tree | None, problems: Problems) -> tuple[int, int] | None:
    if tree is None:
        return 0, 0
    match = _OWNER.fullmatch(tree.raw) if isinstance(tree, Scalar) else None
    if match is None:
        problems.refuse(
            "bad_value",
            tree.place,
            "owner must be root or numbers",
            next_step="Give root, 1000 or 1000:1000",
        )
        return None
    uid = 0 if match[1] == "root" else int(match[1])
    gid = uid if match[2] is None else 0 if match[2] == "root" else int(match[2])
    return uid, gid
