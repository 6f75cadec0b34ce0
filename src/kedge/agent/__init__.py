"""What runs on a node: the agent, its duties, and the boot environment (layer0) that carries it.

It uses `kedge.sync` and `kedge.lib` only, and is started from layer0, never from the image.
"""
