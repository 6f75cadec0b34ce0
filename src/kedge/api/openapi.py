"""The OpenAPI 3.1 document, made from the route table."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from kedge import __version__
from kedge.api.routes import ROUTES, Route
from kedge.shapes.asking import WatchQuery
from kedge.shapes.log import EventRow
from kedge.shapes.refusals import Refusal

REF = "#/components/schemas/{name}"
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    answers = [route.answer for route in ROUTES if not route.text]
    bodies = [route.body for route in ROUTES if route.body is not None]
    types = [*answers, *bodies, Refusal, EventRow]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    paths["/v1/watch"] = {"get": _watch()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kedge",
            "version": __version__,
            "summary": "A distributed state engine from bare metal to the running image",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Refusal": {
                    "description": "Refused: what is wrong, where, why, and what to do next",
                    "content": {"application/json": {"schema": by_type[repr(Refusal)]}},
                }
            },
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    content = _TEXT if route.text else {"application/json": {"schema": schemas[repr(route.answer)]}}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_in_path(route), *_in_query(route.query)],
        "responses": {
            "200": {"description": route.summary, "content": content},
            "default": {"$ref": "#/components/responses/Refusal"},
        },
    }
    if route.body is not None:
        schema = schemas[repr(route.body)]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _in_query(query: type) -> list[dict[str, Any]]:
    (_,), components = msgspec.json.schema_components([query], ref_template=REF)
    schema = components[query.__name__]
    return [
        {"name": name, "in": "query", "required": False, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _watch() -> dict[str, Any]:
    told = (
        "Server-sent events. Topics: event (a line of the log; its id is its seq), node (a node "
        "changed), image and layer0 (progress), lagged (you were too slow and lost messages of "
        "other topics than event)"
    )
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "schema": {"type": "integer", "minimum": 0},
        "description": "Go on behind this event of the log",
    }
    return {
        "operationId": "watch",
        "summary": "Everything that happens, as it happens",
        "parameters": [*_in_query(WatchQuery), last],
        "responses": {
            "200": {
                "description": told,
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "default": {"$ref": "#/components/responses/Refusal"},
        },
    }
