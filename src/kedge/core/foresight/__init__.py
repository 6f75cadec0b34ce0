"""What would happen: the plans of many nodes laid out in time, through the budgets.

Nothing here is carried out. `schedule` plays the plans of whole classes of nodes through the rules of
`kedge.core.engine.budgets`, as if every step took as long as it is expected to and none failed;
`critical` says what the end waits for.
"""
