"""Releases and rollouts in a running master: kept in the store, carried out on the nodes, asked about by
people. What is decided about them is `kedge.rollout`'s."""
