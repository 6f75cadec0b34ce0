"""The engine's settings: how patient it is, and when it stops by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """All durations in seconds.

    - ``attempts``: failures of one mutation on one node in one episode, after which it is forbidden.
    - ``repeats``: how often one mutation may *succeed* on one node in one episode, after which it is
      forbidden too: what is done so often leads nowhere.
    - ``backoff_s`` doubles with each failure up to ``backoff_most_s``; both are jittered by a quarter.
    - ``look_s``: how soon after a step began its effects are asked for; then ever more rarely, up to
      ``look_most_s``.
    - ``surprises`` without a step in flight are allowed at once; one more every ``surprise_refill_s``.
    - within ``grace_s`` of being configured anew, what changes is no surprise.
    - the breaker opens for a group when at least ``breaker_least`` of its nodes, and at least the share
      ``breaker_share``, failed within ``breaker_window_s``.
    - ``together``: nodes in one situation take a step in one go; the tests hold it against without.
    """

    attempts: int = 3
    repeats: int = 12
    backoff_s: float = 5.0
    backoff_most_s: float = 300.0
    look_s: float = 1.0
    look_most_s: float = 10.0
    surprises: int = 10
    surprise_refill_s: float = 300.0
    grace_s: float = 5.0
    breaker_share: float = 0.3
    breaker_least: int = 5
    breaker_window_s: float = 600.0
    together: bool = True
