"""HTTP and an event stream over the master; the only place with web schemas.

One table (`routes`) names every operation; the OpenAPI document, the checks of what comes in and
the handlers all follow from it. Nothing here decides anything: `kedge.master.operations` does.
"""
