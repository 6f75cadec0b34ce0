"""How plans lie in time: the steps of many nodes, through the budgets.

Nothing here is carried out, and nothing here knows nodes but by name. `schedule` plays the plans of whole
classes of nodes through the rules of `kedge.core.engine.budgets`, as if every step took as long as it is
expected to and none failed; `critical` says what the end waits for. What the plans are is for
`kedge.core.engine.prospect` to say.
"""
