"""The running process: the one owner of an event loop, of sockets, timers and supervision.

A master and a sub-master are the same program; `assembly` names all its parts, `serve` starts and stops it.
Its packages are layers, and each knows only those below it (a contract in `.importlinter`):

    tree                    masters and sub-masters, and what they tell each other
    operations              what people and programs may ask, and how it is answered
    modules | rollout       running the modules, within bounds; carrying rollouts out
    intent | agents         what people want, in transactions; the nodes' agents, over the state sync
    engine                  the nodes' two views, and the engine over them
    persistence | transport what is kept in the store; datagrams on the loop
    process                 clocks, settings, secrets, supervision, the machine it all runs on
"""
