"""A release: what nodes run, bound to one name for ever.

It holds the parts of a site's folder that say what nodes run (profiles, overlays, host files, with
their texts), the digest that each image reference stood for per architecture when it was made, and
where it comes from. Nothing in it ever changes, so a node that goes back to it gets the same again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kedge.lib.errors import KedgeError

FORMAT = 1
"""The format of the records that this Kedge writes. It reads this one and all before it."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

Images = Mapping[str, Mapping[str, str]]
"""Image reference -> architecture -> digest."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release. ``files`` are texts by their path in the site's folder; ``at`` is in seconds since
    the epoch; ``kedge`` is the version that made it; ``services`` are versions of what else runs."""

    name: str
    files: Mapping[str, str]
    images: Images = field(default_factory=dict[str, Mapping[str, str]])
    services: Mapping[str, str] = field(default_factory=dict[str, str])
    commit: str = ""
    by: str = ""
    at: float = 0.0
    kedge: str = ""

    @property
    def digest(self) -> str:
        """Equal exactly for releases that bind the same, whoever made them and when."""
        bound = [dict(self.files), {k: dict(v) for k, v in self.images.items()}]
        text = json.dumps([*bound, dict(self.services)], sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def pinned(self, reference: str, arch: str) -> str:
        """The reference with the digest that it is bound to; as it is where it is bound to none."""
        digest = self.images.get(reference, {}).get(arch, "")
        return f"{reference}@{digest}" if digest and "@" not in reference else reference

    def as_record(self) -> dict[str, Any]:
        """The release as the store keeps it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "commit": self.commit,
            "by": self.by,
            "at": self.at,
            "kedge": self.kedge,
            "files": dict(self.files),
            "images": {reference: dict(of) for reference, of in self.images.items()},
            "services": dict(self.services),
            "digest": self.digest,
        }


def read_release(record: Mapping[str, Any]) -> Release:
    """A release from its record; raises `KedgeError` for one that a newer Kedge wrote, or that is not
    what was written."""
    name = str(record.get("name", ""))
    if record.get("format") != FORMAT:
        raise KedgeError(
            "release.format",
            f"release {name} has the format {record.get('format')}, this Kedge reads {FORMAT}",
            why=f"it was made by Kedge {record.get('kedge')}",
            next_step="Start the Kedge version that made it, or make the release anew",
        )
    release = Release(
        name,
        dict(record["files"]),
        {reference: dict(of) for reference, of in record["images"].items()},
        dict(record["services"]),
        record["commit"],
        record["by"],
        record["at"],
        record["kedge"],
    )
    if release.digest != record["digest"]:
        raise KedgeError(
            "release.damaged",
            f"release {name} is not what was written",
            why=f"its content has the digest {release.digest}, not {record['digest']}",
            next_step="Make it anew from its commit: kedge release create",
        )
    return release


def check_name(name: str) -> None:
    """Refuse what is no name for a release (it becomes a feature of the scheduler, too)."""
    if not NAME.fullmatch(name):
        raise KedgeError(
            "release.name",
            f"{name[:80]!r} is no name for a release",
            next_step="Use letters, digits, '.', '_' and '-', like 2026.11",
        )
