"""Errors on their way out: which HTTP status a code means, and the body that says all of it."""

from __future__ import annotations

from kedge.lib.errors import KedgeError, KedgeErrors

REFUSED = 422
STATUS = {
    "api.request": 400,
    "api.token": 401,
    "api.path": 404,
    "api.method": 405,
    "api.too_slow": 408,
    "api.too_large": 413,
    "api.busy": 503,
    "action.unknown": 404,
    "bug": 500,
    "node.unknown": 404,
    "release.unknown": 404,
    "rollout.unknown": 404,
    "store.conflict": 409,
}


def status_of(error: KedgeError) -> int:
    """The HTTP status of an error; what the master refuses is 422."""
    return STATUS.get(error.code, REFUSED)


def body_of(error: KedgeError) -> dict[str, object]:
    """The first error, and all of them."""
    errors = error.errors if isinstance(error, KedgeErrors) else (error,)
    each = [one.as_dict() for one in errors]
    return {"error": each[0], "errors": each}


def of_http(status: int, reason: str, what: str) -> KedgeError:
    """An error of the HTTP library in our words."""
    code = {404: "api.path", 405: "api.method", 413: "api.too_large"}.get(status, "api.request")
    return KedgeError(
        code, f"{what}: {reason}", next_step="The operations are listed in /v1/openapi.json"
    )
