"""The process itself: its clocks, timers, settings, secrets and services, and the machine it runs on.

Knows nothing of nodes. What comes from the machine comes through `host`, so that a simulation can bring
another.
"""
