"""Answers of BMCs over HTTP, bounded: a BMC that is broken or not what it says it is sends what it likes.

`requests` reads an answer to its end, however long it is and however slowly it comes; a BMC that never
ends would take the head's memory, or one of its threads.
"""

from __future__ import annotations

import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

MOST_BYTES = 4 << 20
"""More than any Redfish resource is long."""
BODY_S = 15.0
_PIECE_BYTES = 1 << 16


def bound(session: requests.Session) -> None:
    """From now on the session gives up answers that are too long or take too long."""
    for scheme in list(session.adapters):
        session.mount(scheme, _Bounded())


class _Bounded(HTTPAdapter):
    def send(self, request: Any, stream: bool = False, *args: Any, **kwargs: Any) -> Any:
        """The answer, its content read; raises ``requests.RequestException``."""
        kwargs["stream"] = True
        response: Any = super().send(request, *args, **kwargs)
        try:
            response._content = _read(response.raw)
        finally:
            response.close()
        response._content_consumed = True
        return response


def _read(raw: Any) -> bytes:
    ends_at = time.monotonic() + BODY_S
    content = b""
    while piece := raw.read1(_PIECE_BYTES, decode_content=True):
        content += piece
        if len(content) > MOST_BYTES:
            raise requests.exceptions.ContentDecodingError(f"it is longer than {MOST_BYTES} bytes")
        if time.monotonic() > ends_at:
            raise requests.exceptions.ReadTimeout(f"it did not come within {BODY_S:.0f} s")
    return content
