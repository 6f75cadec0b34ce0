"""HTTP and an event stream over the master; the only place with web schemas."""
