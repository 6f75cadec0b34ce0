"""What a master keeps in its store as it runs: the log of events, and small records that must not be lost."""
