"""Simulated heads: the production master as a process on a machine, a network and a disk of the world."""
