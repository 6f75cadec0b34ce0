"""Rollouts in a running master: begun, carried out on the nodes, their gates run. What is decided about them
is `kedge.rollout`'s."""
