"""The state engine, pure: variables, nodes, mutations, the graph, the planner, the engine.

Time comes in as ``now`` (seconds, a float that only grows), chance as a seeded generator, and the
world as events; what should be done goes out as effects. Nothing here knows any module's variables.
"""
