"""The part of the API's table that speaks of modules."""

from __future__ import annotations

from typing import Any

from kedge.api.route import Route
from kedge.shapes import asking, modules

MODULE_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/modules", "modules", "All modules: version, package, what each adds",
        list[modules.ModuleRow], lambda ops, asked: ops.modules.rows(),
    ),
    Route(
        "GET", "/v1/modules/{module}", "module", "One module, with its page of the reference",
        modules.ModuleDetail, lambda ops, asked: ops.modules.show(asked.path["module"]),
    ),
    Route(
        "POST", "/v1/modules/reload", "module_reload",
        "Go over to the modules that are installed now, if they fit together",
        modules.Reloaded, lambda ops, asked: ops.modules.reload(asked.body.names, asked.by),
        body=modules.ReloadRequest,
    ),
    Route(
        "POST", "/v1/modules/{module}/actions/{action}", "act", "A verb of a module's own",
        Any,
        lambda ops, asked: ops.act(
            asked.path["module"], asked.path["action"], asked.body.args, asked.by
        ),
        body=asking.ActionRequest,
    ),
)  # fmt: skip
