"""Small shared things with no opinion: errors, nodesets.

This floor knows nothing of nodes, clusters or modules, and touches no clock, network or disk.
"""
