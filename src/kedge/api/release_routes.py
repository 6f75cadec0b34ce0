"""The part of the API's table that speaks of releases and rollouts."""

from __future__ import annotations

from typing import Any

from kedge.api.route import SITE_BYTES, Route
from kedge.shapes import releases, rollouts, site

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
    Route(
        "GET", "/v1/rollouts", "rollouts", "All rollouts, begun or described in the site",
        list[rollouts.RolloutRow], lambda ops, asked: ops.rollouts.every(),
    ),
    Route(
        "GET", "/v1/rollouts/{name}", "rollout_show", "How far a rollout is, and what was seen",
        rollouts.RolloutDetail, lambda ops, asked: ops.rollouts.show(asked.path["name"]),
    ),
    Route(
        "GET", "/v1/rollouts/{name}/plan", "rollout_plan", "How long it takes, and what is left",
        rollouts.RolloutPlan,
        lambda ops, asked: ops.rollouts.plan(asked.path["name"], asked.query.release),
        query=rollouts.RolloutQuery,
    ),
    Route(
        "POST", "/v1/rollouts/{name}/start", "rollout_start", "Begin to move nodes to a release",
        rollouts.RolloutDetail,
        lambda ops, asked: ops.rollouts.start(asked.path["name"], asked.body.release, asked.by),
        body=rollouts.RolloutStart,
    ),
    Route(
        "POST", "/v1/rollouts/{name}/say", "rollout_say", "Approve, pause, resume, abort, roll back",
        rollouts.RolloutDetail,
        lambda ops, asked: ops.rollouts.say(
            asked.path["name"], asked.body.verb, asked.body.why, asked.body.accept, asked.by
        ),
        body=rollouts.RolloutWord,
    ),
)  # fmt: skip
