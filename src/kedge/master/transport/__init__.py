"""Datagrams on the event loop: many with one call, and the pump that drives an end of the state sync."""
