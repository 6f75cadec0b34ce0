"""The planner, pure and deterministic: the cheapest partial order of actions from a state to goals.

`task` is the question in numbers, `star` takes it apart, `search` answers it, `order` turns the
sequence found into a partial order, and `cache` (the door: `Planner`) shares plans between all nodes
of a class.
"""
