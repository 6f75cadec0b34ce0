"""A real cluster of virtual bare metal: QEMU machines with BMCs on private networks."""
