"""What stands beside the nodes of a simulated cluster: a registry, and a workload manager with its jobs."""
