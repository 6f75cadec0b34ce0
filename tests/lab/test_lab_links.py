"""The lab's links, for real: frames that are lost or slow, and an answer to who looks for a router."""

from __future__ import annotations

import os

import pytest
from small_lab import (
    IPMI,
    REDFISH,
    python,
)

from kedge.lab.lab import Lab
from kedge.lib.errors import KedgeError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]


# Stands in for a machine: opens its tap, sends frames both ways between tap and bridge, and counts.
FRAMES = """
import fcntl, json, os, select, socket, struct, sys, time
tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap-r1", 0x1002))
bridge = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
bridge.bind(("prov", 0x88B5))
bridge.setblocking(False)
time.sleep(0.2)
frame = b"\\xff" * 6 + bytes.fromhex("525400770102") + b"\\x88\\xb5" + b"x" * 1386
count, pause = int(os.environ["COUNT"]), float(os.environ["PAUSE"])
seen = {"from_machine": 0, "to_machine": 0}
def receive(wait_s):
    end = time.monotonic() + wait_s
    while (rest := end - time.monotonic()) > 0:
        for ready in select.select([tap, bridge], [], [], rest)[0]:
            if ready == tap:
                seen["to_machine"] += os.read(tap, 2000)[12:14] == b"\\x88\\xb5"
            else:
                _, (_, _, kind, _, _) = bridge.recvfrom(2000)
                seen["from_machine"] += kind != socket.PACKET_OUTGOING
for _ in range(count):
    os.write(tap, frame)
    bridge.send(frame)
    receive(pause)
receive(0.3)
print(json.dumps(seen))
"""


def test_a_link_loses_the_share_of_frames_that_was_asked_for(healthy: Lab) -> None:
    traffic = {"COUNT": "400", "PAUSE": "0.001"}
    whole = python(healthy, FRAMES, **traffic)
    assert whole == {"from_machine": 400, "to_machine": 400}
    healthy.fault(REDFISH, "drop", 25)
    lossy = python(healthy, FRAMES, **traffic)
    # 400 frames, a quarter lost: 300 with a standard deviation of 8.7; six of them to each side.
    assert all(248 < arrived < 352 for arrived in lossy.values()), lossy  # type: ignore[attr-defined]
    healthy.fault(REDFISH, "clear")
    assert python(healthy, FRAMES, **traffic) == whole


def test_a_slow_link_carries_no_more_than_its_rate(healthy: Lab) -> None:
    healthy.fault(REDFISH, "slow", "1mbit")
    # 400 frames of 1400 bytes in at least 1 s offer 4.5 Mbit/s; 1 Mbit/s carries 90 a second.
    seen = python(healthy, FRAMES, COUNT="400", PAUSE="0.0025")
    assert all(60 < arrived < 200 for arrived in seen.values()), seen  # type: ignore[attr-defined]
    with pytest.raises(KedgeError, match="not a rate"):
        healthy.fault(REDFISH, "slow", "fast")


def test_faults_refuse_nonsense(healthy: Lab) -> None:
    for kind, value in (("drop", None), ("drop", "101"), ("drop", "-1"), ("bmc-hang", "x")):
        with pytest.raises(KedgeError):
            healthy.fault(IPMI, kind, value)
    with pytest.raises(KedgeError, match="i1, r1"):
        healthy.fault("nosuch", "bmc-hang")
    assert healthy.status()["machines"][0]["faults"] == []


# Asks on a machine's behalf, as iPXE does: a router solicitation (RFC 4861) from the machine's tap.
SOLICIT = """
import fcntl, json, os, select, socket, struct, time
tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap-r1", 0x1002))
time.sleep(0.2)
source = socket.inet_pton(socket.AF_INET6, "fe80::5054:ff:fe77:102")
target = socket.inet_pton(socket.AF_INET6, "ff02::2")
def message(checksum):
    return struct.pack("!BBHI", 133, 0, checksum, 0)
total = source + target + struct.pack("!II", 8, 58) + message(0)
total = sum(struct.unpack(f"!{len(total) // 2}H", total))
while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
header = struct.pack("!IHBB", 6 << 28, 8, 58, 255) + source + target
ethernet = bytes.fromhex("333300000002" "525400770102" "86dd")
os.write(tap, ethernet + header + message(total ^ 0xFFFF))
answer, end = None, time.monotonic() + 3
while answer is None and (rest := end - time.monotonic()) > 0:
    for ready in select.select([tap], [], [], rest)[0]:
        frame = os.read(ready, 2000)
        if frame[12:14] == b"\\x86\\xdd" and frame[20] == 58 and frame[54] == 134:
            answer = {"hop_limit": frame[21], "lifetime_s": int.from_bytes(frame[60:62], "big")}
print(json.dumps(answer))
"""


def test_a_router_solicitation_is_answered_at_once(healthy: Lab) -> None:
    assert python(healthy, SOLICIT) == {"hop_limit": 255, "lifetime_s": 0}
