"""At a sub-master: its way up, the groups it may act on, what it reports, what it copies from the master."""
