"""A real cluster of virtual bare metal: QEMU machines with BMCs on private networks.

`kedge.lab.lab.Lab` is the way in for tests; the ``kedge lab`` verbs are a thin front of it. One
process per lab, `kedge.lab.daemon`, lives in the lab's own network namespace and owns its BMCs, its
registry and its machines. Machines know nothing of Kedge, and Kedge nothing of the lab: they meet
only through IPMI, Redfish, DHCP and HTTP.
"""
