"""What people and programs may ask of a running master, in plain JSON-able values; `kedge.api` serves it.

`operations` has the verbs of nodes and of the site; its other parts are `releases`, `rollouts`, `looking` and
`previews`. What they need of the tree is a port of their own (`tree`).
"""
