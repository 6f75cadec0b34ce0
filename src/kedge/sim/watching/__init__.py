"""What must never happen in a simulated world, looked at while it happens: nodes, budgets, rollouts."""
