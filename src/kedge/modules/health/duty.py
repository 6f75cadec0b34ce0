"""Runs on nodes, in layer0's Python: the health checks that are due, and the verdict of all of them.

Each check runs in a process of its own with a deadline, so a hung file system or GPU fails its check and
holds up nothing else. A check that failed is run again every time; one that passed, when it is due.
"""

# pyright: basic
# ruff: noqa: PTH112, PTH123, PTH208

import json
import os
import re
import select
import signal
import sys
import time

EVERY_S = 300
TIMEOUT_S = 20
LEFT_S = 200.0  # for all checks of one round
WHY_MAX = 300
KERNEL = [
    r"Hardware Error",
    r"mce: .*[Uu]ncorrected",
    r"I/O error, dev (?!loop|fd|sr)",
    r"Remounting filesystem read-only",
    r"soft lockup",
    r"NVRM: Xid",
]


def observe(here):
    """Run what is due; the verdict holds for all checks that are configured."""
    wanted = configured(here.configured)
    results = remembered(here.folder / "results.json")
    until = time.monotonic() + LEFT_S
    fresh = {}
    for name, check in wanted.items():
        key = json.dumps(check, sort_keys=True)
        known = results.get(name)
        every_s = check.get("every_s", EVERY_S)
        passed = known if known and known["check"] == key and not known["why"] else None
        if passed and time.monotonic() < passed["at"] + every_s:
            fresh[name] = passed
            continue
        left_s = min(check.get("timeout_s", TIMEOUT_S), until - time.monotonic())
        fresh[name] = {"check": key, "at": time.monotonic(), "why": run(here, name, check, left_s)}
    (here.folder / "results.json").write_text(json.dumps(fresh))
    failed = [
        {"check": name, "why": result["why"], "back": wanted[name].get("back", "automatic")}
        for name, result in fresh.items()
        if result["why"]
    ]
    return {
        "health.verdict": "fail" if failed else "pass",
        "health.standing": "failed" if failed else "clear",
        "health.failed": failed,
    }


def configured(values):
    """Check by name: the ready ones that are written down, and the site's scripts."""
    ready = values.get("health.checks") or {}
    scripts = {script["name"]: script for script in values.get("health.scripts") or []}
    both = {**ready, **scripts}
    return {name: both[name] for name in sorted(both) if both[name].get("enabled", True)}


def remembered(path):
    """The results of earlier rounds of this boot."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def run(here, name, check, left_s):
    """Why the check failed; empty where it passed."""
    if left_s <= 0:
        return "there was no time left to run it"
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setpgid(0, 0)
        why = None
        try:
            why = script(here, check, left_s) if "run" in check else CHECKS[name](here, check)
        finally:
            problem = sys.exc_info()[1]
            words = why if why is not None else f"{type(problem).__name__}: {problem}"
            os.write(writer, b"=" + words[:WHY_MAX].encode("utf-8", "replace"))
            os._exit(0)
    os.close(writer)
    told, _, _ = select.select([reader], [], [], left_s)
    answer = os.read(reader, 4 * WHY_MAX) if told else b""
    os.close(reader)
    if not told:
        os.killpg(
            pid, signal.SIGKILL
        )  # one that hangs in the kernel goes when it can: not waited for
        os.waitpid(pid, os.WNOHANG)
        return f"did not end within {left_s:.0f} s"
    os.waitpid(pid, 0)
    return answer[1:].decode("utf-8", "replace") if answer else "its process died"


def script(here, check, left_s):
    """A command of the site, in the node's image."""
    try:
        code, printed = here.run("/bin/sh", "-c", check["run"], timeout_s=left_s)
    except TimeoutError:
        return f"did not end within {left_s:.0f} s"
    if code == 0:
        return ""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {code}"


def disks(here, check):
    """File systems can be written and are not full; no disk says that it is failing."""
    for path in check.get("paths") or ["/"]:
        status = os.statvfs(here.root / path.lstrip("/"))
        if status.f_flag & os.ST_RDONLY:
            return f"{path} is read-only"
        free = 100 * status.f_bavail / max(1, status.f_blocks)
        if free < check.get("free_percent", 5):
            return f"{path}: {free:.0f} % are free, {check.get('free_percent', 5)} % are wanted"
    for disk in sorted(os.listdir("/sys/block")):
        if re.fullmatch(r"sd[a-z]+|nvme\d+n\d+", disk):
            try:
                code, printed = here.run("smartctl", "-H", f"/dev/{disk}", timeout_s=15)
            except OSError:
                return ""  # the image has no smartctl
            if code & 0b1000 or "FAILED" in printed:
                return f"{disk} says that it is failing"
    return ""


def memory(here, check):
    """All memory is there, and none of it reports uncorrected errors."""
    with open("/proc/meminfo") as lines:
        total_mib = int(next(lines).split()[1]) // 1024
    if total_mib < check.get("least_mib", 0):
        return f"{total_mib} MiB are there, {check['least_mib']} are wanted"
    edac = "/sys/devices/system/edac/mc"
    for controller in sorted(os.listdir(edac)) if os.path.isdir(edac) else []:
        count = number(f"{edac}/{controller}/ue_count")
        if count:
            return f"{controller}: {count} uncorrected memory errors"
    return ""


def mounts(here, check):
    """Every path is a mount point, and its file system answers."""
    with open("/proc/1/mounts") as lines:
        mounted = {line.split()[1].replace("\\040", " ") for line in lines}
    for path in check.get("paths") or []:
        if path.rstrip("/") not in mounted and path != "/":
            return f"nothing is mounted at {path}"
        os.statvfs(here.root / path.lstrip("/"))
    return ""


def clock(here, check):
    """chrony keeps the clock, and it is near enough."""
    code, printed = here.run("chronyc", "-c", "tracking", timeout_s=10)
    fields = printed.strip().split(",")
    if code != 0 or len(fields) < 14:
        return "chrony does not answer"
    if fields[13].strip() == "Not synchronised":
        return "the clock is not synchronised"
    offset_ms, most = abs(float(fields[4])) * 1000, check.get("offset_ms", 500)
    return f"the clock is {offset_ms:.0f} ms off, {most} are allowed" if offset_ms > most else ""


def network(here, check):
    """The interfaces are up and as fast as they should be."""
    for name in check.get("interfaces") or uplinks():
        folder = f"/sys/class/net/{name}"
        if not os.path.isdir(folder):
            return f"there is no interface {name}"
        if text(f"{folder}/operstate") not in ("up", "unknown"):
            return f"{name} is down"
        least, speed = check.get("least_mbps", 0), number(f"{folder}/speed")
        if least and 0 <= speed < least:
            return f"{name} runs at {speed} Mb/s, {least} are wanted"
    return ""


def uplinks():
    """The interfaces of the default routes."""
    with open("/proc/net/route") as lines:
        rows = [line.split() for line in lines][1:]
    return sorted({row[0] for row in rows if row[1] == "00000000"})


def gpus(here, check):
    """All GPUs are on the bus; those of NVIDIA also answer, and report no uncorrected ECC errors."""
    found, nvidia = 0, 0
    for device in sorted(os.listdir("/sys/bus/pci/devices")):
        folder = f"/sys/bus/pci/devices/{device}"
        vendor = text(f"{folder}/vendor")
        if text(f"{folder}/class")[:6] in ("0x0300", "0x0302", "0x1200") and vendor in (
            "0x10de",
            "0x1002",
        ):
            found, nvidia = found + 1, nvidia + (vendor == "0x10de")
    if found < check.get("count", 0):
        return f"{found} GPUs are on the bus, {check['count']} are wanted"
    if not nvidia:
        return ""
    query = "--query-gpu=index,ecc.errors.uncorrected.volatile.total"
    code, printed = here.run("nvidia-smi", query, "--format=csv,noheader,nounits", timeout_s=15)
    rows = [line.split(",") for line in printed.splitlines() if line.strip()]
    if code != 0 or len(rows) < nvidia:
        return f"nvidia-smi sees {len(rows) if code == 0 else 0} of {nvidia} GPUs"
    bad = [row[0].strip() for row in rows if row[-1].strip().isdigit() and int(row[-1]) > 0]
    return f"uncorrected ECC errors on GPU {', '.join(bad)}" if bad else ""


def kernel(here, check):
    """The kernel's log since the boot matches none of the patterns."""
    patterns = [re.compile(pattern) for pattern in check.get("patterns") or KERNEL]
    for line in kernel_log(here.root / "dev/kmsg"):
        if any(pattern.search(line) for pattern in patterns):
            return line
    return ""


def kernel_log(path):
    """The lines of the kernel's ring buffer, without what stands before their text."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                record = os.read(descriptor, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # overwritten meanwhile
            if not record:
                return
            yield record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0]
    finally:
        os.close(descriptor)


def text(path):
    """What a file of /sys says; empty where it is not there."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def number(path):
    """The number in a file of /sys; -1 where there is none."""
    value = text(path)
    return int(value) if value.lstrip("-").isdigit() else -1


CHECKS = {
    "disks": disks,
    "memory": memory,
    "mounts": mounts,
    "clock": clock,
    "network": network,
    "gpus": gpus,
    "kernel": kernel,
}
