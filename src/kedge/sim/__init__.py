"""Simulated devices and worlds: the production code of core and modules on machines that are not there.

`devices` lets real modules only pretend. The rest is worlds in virtual time, in layers that each know only
those below (a contract in `.importlinter`):

    runs                a run from its beginning to its rest, and what came of it
    scenarios           what people write in files, and what is drawn by chance
    commands | faults   what operators do; what goes wrong
    cluster             all parts of one simulated cluster
    watching            the invariants, looked at from outside while it runs
    masters             production masters and sub-masters as processes of the world
    machines | services nodes and their BMCs; registry and scheduler
    world               time, event loops, networks, clocks, chance

`rolling` is a smaller world for rollouts over days on thousands of nodes.
"""
