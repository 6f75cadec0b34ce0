"""Simulated machines and their BMCs: power, firmware, and the production agent on what has booted."""
