"""Runs on nodes, in layer0's Python: reads and writes the kernel's switch for huge pages."""

SWITCH = "sys/kernel/mm/transparent_hugepage/enabled"


def observe(here):
    """The kernel answers ``always [madvise] never``: what is in brackets holds."""
    text = (here.root / SWITCH).read_text()
    return {"hugepages.mode": text.partition("[")[2].partition("]")[0]}


def carry_out(here, mutation, args):
    """Never reports success: `observe` is called right after."""
    (here.root / SWITCH).write_text(mutation.removeprefix("hugepages.set_"))
