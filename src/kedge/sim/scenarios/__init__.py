"""Scenarios: the cluster, what happens to it and what must be so; from files, from words, or by chance."""
