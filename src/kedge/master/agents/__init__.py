"""The nodes' agents: who may join, what is sent down to each, what they report.

The protocol is `kedge.sync`'s; here are its socket, the boot permits, and what the records say.
"""
