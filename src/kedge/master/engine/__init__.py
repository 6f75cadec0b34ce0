"""The engine at work: `head` holds the nodes' two views and the engine (`kedge.core.engine`) over them.

What happened is told to it in order (`ears`, `telling`), what it wants goes out (`sending`); what it would do
if nodes were configured otherwise can be asked (`foreseeing`).
"""
