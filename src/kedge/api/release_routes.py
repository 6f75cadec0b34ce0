"""The part of the API's table that speaks of releases."""

from __future__ import annotations

from typing import Any

from kedge.api.route import SITE_BYTES, Route
from kedge.shapes import releases, site

RELEASE_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/releases", "releases", "All releases, the oldest first",
        list[releases.ReleaseRow], lambda ops, asked: ops.releases.every(),
    ),
    Route(
        "POST", "/v1/releases", "release_create", "Bind what a site's folder says to a name",
        releases.ReleaseDetail,
        lambda ops, asked: ops.releases.create(
            asked.body.name, asked.body.files, asked.body.commit, asked.body.services, asked.by
        ),
        body=releases.ReleaseRequest, most_bytes=SITE_BYTES,
    ),
    Route(
        "GET", "/v1/releases/{name}", "release_show", "All that a release binds",
        releases.ReleaseDetail, lambda ops, asked: ops.releases.show(asked.path["name"]),
    ),
    Route(
        "POST", "/v1/releases/{name}/delete", "release_delete", "Forget a release no node has",
        dict[str, Any], lambda ops, asked: ops.releases.delete(asked.path["name"], asked.by),
    ),
    Route(
        "GET", "/v1/release-diff", "release_diff", "What nodes would be otherwise with another release",
        list[site.ChangeRow],
        lambda ops, asked: ops.releases.diff(asked.query.before, asked.query.after),
        query=releases.ReleaseDiffQuery,
    ),
)  # fmt: skip
