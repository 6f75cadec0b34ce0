"""Releases, stages, waves, gates and budgets, pure: ``decide(state, now) -> actions``."""
