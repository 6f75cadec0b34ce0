"""Kedge: a cluster manager that hauls every node to its configured state and keeps it there."""

__version__ = "0.1.0"
