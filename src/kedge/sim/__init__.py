"""Simulated devices and worlds: the production code of core and modules on machines that are not there."""
