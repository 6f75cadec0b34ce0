"""What ``scripts/bench engine`` measures, one topic in a file."""
