"""Which kernel modules layer0's initramfs needs from an image's kernel to reach the network.

The image part packs these, with everything they depend on, into the image's modules cpio; layer0's
`/init` loads `BOOT_MODULES` by name and `DRIVER_MODULES` by what the hardware announces (modalias).
The running system does not use the cpio: it has the image's own `/usr/lib/modules`.

What the cpio (newc) must hold, for one kernel version:

- `lib/modules/<version>/kernel/...`: uncompressed `.ko` files (busybox cannot decompress them);
- `lib/modules/<version>/modules.dep`: the lines of those modules, names ending in plain `.ko`;
- `lib/modules/<version>/modules.alias` and `modules.softdep`: as the kernel package has them (the
  lines of modules that are not packed may be left out);
- `lib/modules/<version>/modules.builtin`: as the kernel package has it.

Names are written with underscores; a kernel's file may say `virtio-rng.ko` for `virtio_rng`. A name
that a kernel has built in, or does not know, is skipped and is no error.
"""

from __future__ import annotations

BOOT_MODULES: tuple[str, ...] = (
    "af_packet",  # raw sockets: DHCP before there is an address
    "overlay",  # the writable root over the image's layers
    "squashfs",  # layer0 itself and the image's layers
    "loop",  # squashfs files are mounted as loop devices
    "unix",  # local sockets, where they are no built-in
    "virtio_pci",  # the virtual machine's bus on PCI
    "virtio_mmio",  # the same without PCI (small arm64 machines)
    "virtio_rng",  # entropy early, so that keys do not wait for it
    "virtio_net",  # the card of QEMU and most clouds: there it spares the search for drivers
)
"""Loaded on every node, in this order."""

DRIVER_MODULES: tuple[str, ...] = (
    "e1000",  # Intel gigabit, QEMU's older default card
    "e1000e",  # Intel gigabit, on boards
    "igb",  # Intel gigabit, servers
    "igc",  # Intel 2.5 gigabit
    "ixgbe",  # Intel 10 gigabit
    "ixgbevf",  # its virtual functions
    "i40e",  # Intel 40 gigabit
    "iavf",  # virtual functions of Intel's newer cards
    "ice",  # Intel 100 gigabit
    "tg3",  # Broadcom gigabit
    "broadcom",  # the PHYs that tg3 and bnx2 meet
    "bnx2",  # Broadcom NetXtreme II, gigabit
    "bnx2x",  # Broadcom NetXtreme II, 10 gigabit
    "bnxt_en",  # Broadcom 10 to 200 gigabit
    "mlx4_en",  # Mellanox ConnectX-3
    "mlx5_core",  # Mellanox/NVIDIA ConnectX-4 and later
    "mlx5_ib",  # the same, for IPoIB and RDMA
    "ib_ipoib",  # IP over InfiniBand
    "qede",  # Marvell/QLogic 25 to 100 gigabit
    "be2net",  # Emulex 10 gigabit
    "cxgb4",  # Chelsio
    "sfc",  # Solarflare
    "ionic",  # Pensando
    "atlantic",  # Aquantia/Marvell 10 gigabit
    "r8169",  # Realtek, on desktop boards
    "realtek",  # its PHY
    "hns3",  # HiSilicon, arm64 servers
    "hclge",  # its hardware layer
    "thunderx_nic",  # Cavium, older arm64 servers
    "nicvf",  # the same by its other name
    "xgene_enet",  # APM X-Gene, older arm64 servers
    "genet",  # Raspberry Pi 4
    "macb",  # Cadence, small arm64 boards
    "vmxnet3",  # VMware
    "hv_netvsc",  # Hyper-V
    "ena",  # Amazon
    "gve",  # Google
    "xen_netfront",  # Xen
)
"""Loaded where the hardware announces them."""
