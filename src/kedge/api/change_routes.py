"""The part of the API's table that changes nodes, with the dry run of each change."""

from __future__ import annotations

from typing import Any

from kedge.api.route import SITE_BYTES, Asked, Route
from kedge.shapes import asking, paths

Answer = dict[str, Any]


def _scope(asked: Asked) -> dict[str, Any]:
    return {"group": asked.body.group, "cluster": asked.body.all}


CHANGE_ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/v1/foresee", "foresee", "What applying files would change, and what nodes would do",
        paths.Preview, lambda ops, asked: ops.previews.files(asked.body.files),
        body=asking.Files, most_bytes=SITE_BYTES,
    ),
    Route(
        "POST", "/v1/foresee-meaning", "foresee_meaning",
        "What nodes would do if configured values stood for something else (a tag that moves)",
        paths.Preview,
        lambda ops, asked: ops.previews.meaning(asked.body.nodes, asked.body.values),
        body=asking.Meaning,
    ),
    Route(
        "POST", "/v1/set", "set_values", "Set configured values on nodes, or take them back",
        Answer,
        lambda ops, asked: (
            ops.previews.values(asked.body.nodes, asked.body.values)
            if asked.body.dry_run
            else ops.set_values(asked.body.nodes, asked.body.values, asked.by)
        ),
        body=asking.Values,
    ),
    Route(
        "POST", "/v1/hold", "hold", "Leave nodes, a group or all alone until they are released",
        Answer,
        lambda ops, asked: (
            ops.previews.hold(asked.body.nodes, asked.body.reason, **_scope(asked))
            if asked.body.dry_run
            else ops.hold(asked.body.nodes, asked.body.reason, asked.by, **_scope(asked))
        ),
        body=asking.HoldRequest,
    ),
    Route(
        "POST", "/v1/release", "release", "End holds put by command",
        Answer,
        lambda ops, asked: (
            ops.previews.release(asked.body.nodes, **_scope(asked))
            if asked.body.dry_run
            else ops.release(asked.body.nodes, asked.by, **_scope(asked))
        ),
        body=asking.ScopeRequest,
    ),
    Route(
        "POST", "/v1/retry", "retry", "Try quarantined nodes again",
        Answer,
        lambda ops, asked: (
            ops.previews.retry(asked.body.nodes)
            if asked.body.dry_run
            else ops.retry(asked.body.nodes, asked.by)
        ),
        body=asking.NodesRequest,
    ),
    Route(
        "POST", "/v1/power", "power", "Configure power on or off, or cycle once",
        Answer,
        lambda ops, asked: (
            ops.previews.power(asked.body.nodes, asked.body.action)
            if asked.body.dry_run
            else ops.power(asked.body.nodes, asked.body.action, asked.by)
        ),
        body=asking.PowerRequest,
    ),
)  # fmt: skip
