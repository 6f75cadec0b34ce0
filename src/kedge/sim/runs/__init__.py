"""Runs of scenarios: what happens is made to happen, all must come to rest, what came of it is told."""
