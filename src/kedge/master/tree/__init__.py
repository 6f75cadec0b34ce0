"""The tree: a master, sub-masters for groups, and what they tell each other in the records of the sync.

A sub-master is the same program as a master. Upwards it is a child of the sync, downwards a parent; what
is told is in `entries`, the leases are `kedge.core.lease`. What only the master has is in `tree.master`, what
only a sub-master has in `tree.submaster`; neither knows the other.
"""
