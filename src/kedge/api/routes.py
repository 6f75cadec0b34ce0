"""The one table of the API: every operation with its path, what it takes and what it gives."""

from __future__ import annotations

from kedge.api.change_routes import CHANGE_ROUTES
from kedge.api.look_routes import LOOK_ROUTES
from kedge.api.module_routes import MODULE_ROUTES
from kedge.api.release_routes import RELEASE_ROUTES
from kedge.api.route import SITE_BYTES, Asked, Route, Rows
from kedge.api.submaster_routes import SUBMASTER_ROUTES
from kedge.shapes import asking, log, nodes, paths, site

__all__ = ("ROUTES", "SITE_BYTES", "Asked", "Route")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/about", "about", "The master itself, and what of it is degraded",
        nodes.About, lambda ops, asked: ops.about(),
    ),
    Route(
        "GET", "/v1/status", "status", "One row a node: phase, since when, why, what is next",
        list[nodes.NodeRow], lambda ops, asked: ops.status(asked.query.nodes),
        query=asking.NodesQuery,
    ),
    Route(
        "GET", "/v1/nodes/{node}", "node", "All that is known of one node, with origins",
        nodes.NodeDetail, lambda ops, asked: ops.node(asked.path["node"]),
    ),
    Route(
        "GET", "/v1/strangers", "strangers", "Machines seen on the network that are in no file",
        Rows, lambda ops, asked: ops.strangers(),
    ),
    Route(
        "GET", "/v1/plan", "plan", "Each node's path to what is configured, or what blocks it",
        list[paths.PlanRow],
        lambda ops, asked: ops.plan(asked.query.nodes, asked.query.to, fold=asked.query.fold),
        query=asking.PlanQuery,
    ),
    Route(
        "GET", "/v1/graph", "graph", "The mutation graph as text (dot, mermaid or svg)",
        str,
        lambda ops, asked: ops.graph(
            style=asked.query.style, module=asked.query.module, node=asked.query.node
        ),
        query=asking.GraphQuery, text=True,
    ),
    Route(
        "GET", "/v1/variables", "variables", "All declared variables",
        list[site.VariableRow], lambda ops, asked: ops.variables(),
    ),
    Route(
        "GET", "/v1/events", "events", "The append-only log",
        list[log.EventRow],
        lambda ops, asked: ops.events(asked.query.nodes, asked.query.after, asked.query.limit),
        query=asking.EventsQuery,
    ),
    Route(
        "POST", "/v1/diff", "diff", "What applying a site's files would change",
        list[site.ChangeRow], lambda ops, asked: ops.diff(asked.body.files),
        body=asking.Files, most_bytes=SITE_BYTES,
    ),
    Route(
        "POST", "/v1/apply", "apply", "Make files the site, whole or not at all",
        list[site.ChangeRow],
        lambda ops, asked: ops.apply(asked.body.files, asked.by, asked.body.revision),
        body=asking.Application, most_bytes=SITE_BYTES,
    ),
    *CHANGE_ROUTES,
    *LOOK_ROUTES,
    *MODULE_ROUTES,
    *RELEASE_ROUTES,
    *SUBMASTER_ROUTES,
)  # fmt: skip
