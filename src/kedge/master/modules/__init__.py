"""Running the modules: found, loaded and reloaded, carrying out steps and discoveries, reaching the world.

A module is not trusted to be right: what it may say, how often, how long and on which thread is bounded here,
and what it does wrong is said.
"""
