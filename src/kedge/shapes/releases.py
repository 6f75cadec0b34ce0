"""How the API tells of releases, and is asked for them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

ReleaseName = Annotated[str, Meta(max_length=63, description="A release's name, like 2026.11")]


class ReleaseRow(Struct):
    """A release in one line: from which ``commit``, by whom and when it was made (seconds since the
    epoch), how many images it binds, and the nodeset that has it."""

    name: str
    commit: str
    by: str
    at: float
    kedge: str
    images: int
    digest: str
    nodes: str


class ReleaseDetail(ReleaseRow, kw_only=True):
    """All that a release binds: its ``files`` with their sizes in characters, the digest of each image
    by reference and architecture, the versions of services."""

    files: dict[str, int]
    bound: dict[str, dict[str, str]]
    services: dict[str, str]


class ReleaseRequest(Struct, forbid_unknown_fields=True):
    """A release to make: the files of a site's folder (names relative to it, and their texts)."""

    name: ReleaseName
    files: dict[str, str]
    commit: Annotated[str, Meta(max_length=200)] = ""
    services: dict[str, str] = field(default_factory=dict[str, str])


class ReleaseDiffQuery(Struct, forbid_unknown_fields=True):
    """Two releases; an empty name is the applied site without any."""

    before: ReleaseName = ""
    after: ReleaseName = ""
