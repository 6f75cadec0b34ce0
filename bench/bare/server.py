"""The head of a boot without Kedge: Kea with a fixed configuration, and a plain static HTTP server.

usage: server.py FOLDER. The folder holds ``boot.ipxe`` and the blobs by digest; each request is one
JSON line on stdout (``path``, ``from``, ``at`` in seconds since the epoch).
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from kedge.lab.description import Networks
from kedge.modules.boot import router

HEAD = Networks().head
PORT = 8080
URL = f"http://{HEAD}:{PORT}"


def dhcp(macs: dict[str, str]) -> dict[str, Any]:
    """Kea's configuration: fixed addresses, and one script for whoever speaks iPXE."""
    reservations = [{"hw-address": mac, "ip-address": ip} for ip, mac in macs.items()]
    ipxe_only = [
        {"name": "ipxe"},
        {"name": "no-pxedhcp", "space": "ipxe-options", "data": "1"},  # else iPXE waits for a proxy
    ]
    return {
        "Dhcp4": {
            "interfaces-config": {"interfaces": [f"prov/{HEAD}"], "dhcp-socket-type": "raw"},
            "lease-database": {"type": "memfile", "persist": False},
            "match-client-id": False,
            "option-def": [
                {"name": "ipxe", "code": 175, "type": "empty", "encapsulate": "ipxe-options"},
                {"name": "no-pxedhcp", "code": 176, "type": "uint8", "space": "ipxe-options"},
            ],
            "client-classes": [
                {
                    "name": "script",
                    "test": "substring(option[77].hex,0,4) == 'iPXE'",
                    "boot-file-name": f"{URL}/boot.ipxe",
                    "option-data": ipxe_only,
                }
            ],
            "subnet4": [
                {
                    "id": 1,
                    "subnet": "10.77.0.0/16",
                    "interface": "prov",
                    "reservations": reservations,
                }
            ],
        }
    }


async def serve(folder: Path) -> None:
    """Serve until the process is ended."""

    async def give(request: web.Request) -> web.StreamResponse:
        line = {"path": request.path, "from": request.remote, "at": time.time()}
        print(json.dumps(line), flush=True)
        if request.path == "/running":
            return web.Response()
        path = folder / request.path.rpartition("/")[2].removeprefix("sha256:")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    application = web.Application()
    application.router.add_get("/{path:.*}", give)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HEAD, PORT).start()
    # As Kedge does, or iPXE waits 16 s for an IPv6 router: radvd would do the same.
    solicited = router._open("prov")
    asyncio.get_running_loop().add_reader(solicited, router._answer, solicited)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()
    await runner.cleanup()


def main() -> None:
    """Run Kea beside the HTTP server."""
    folder = Path(sys.argv[1])
    configuration = folder / "kea.json"
    configuration.write_text(json.dumps(dhcp(json.loads((folder / "macs.json").read_text()))))
    places = ("KEA_PIDFILE_DIR", "KEA_CONTROL_SOCKET_DIR", "KEA_DHCP_DATA_DIR", "KEA_LOG_FILE_DIR")
    kea = subprocess.Popen(
        ["kea-dhcp4", "-c", str(configuration)],
        env={
            "PATH": "/usr/sbin:/usr/bin",
            "KEA_LOCKFILE_DIR": "none",
            **{place: str(folder) for place in places},
        },
        stdout=(folder / "kea.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        asyncio.run(serve(folder))
    finally:
        kea.terminate()
        kea.wait(10)


if __name__ == "__main__":
    main()
