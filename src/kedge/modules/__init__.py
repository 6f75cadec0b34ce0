"""What Kedge can do to a node: each module declares variables, discoveries and mutations.

A module meets another only through variables; it reaches the world only through `kedge.modules.port`.
"""
