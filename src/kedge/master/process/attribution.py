"""Which module is at work: carried along by the context of its task, so that nobody has to say so."""

from __future__ import annotations

from contextvars import ContextVar

current_module: ContextVar[str] = ContextVar("current_module", default="")
"""The module whose handler, service or action runs; empty for Kedge itself."""
