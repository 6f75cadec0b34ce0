"""The ground of simulated worlds: one time, event loops in it, networks that lose, chance by name."""
