"""The JSON documents of the lab's Redfish service, in the schemas of DMTF's DSP8010."""

from __future__ import annotations

from typing import Any

from kedge.lab.description import Machine
from kedge.lab.machine import Machine as Chassis

ROOT = "/redfish/v1"
SYSTEM = "1"
RESET_TYPES = ["On", "ForceOff", "GracefulShutdown", "ForceRestart"]
_GOOD = {"State": "Enabled", "Health": "OK"}


def _link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def collection(path: str, kind: str, members: list[str]) -> dict[str, Any]:
    """A collection of resources of one kind."""
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members@odata.count": len(members),
        "Members": [_link(member) for member in members],
    }


def static(machine: Machine, chassis: Chassis) -> dict[str, dict[str, Any]]:
    """Every document that never changes, by path."""
    system, frame, manager = (f"{ROOT}/{name}/1" for name in ("Systems", "Chassis", "Managers"))
    return {
        "/redfish": {"v1": f"{ROOT}/"},
        ROOT: _root(chassis),
        f"{ROOT}/Systems": collection(f"{ROOT}/Systems", "ComputerSystem", [system]),
        f"{ROOT}/Chassis": collection(f"{ROOT}/Chassis", "Chassis", [frame]),
        f"{ROOT}/Managers": collection(f"{ROOT}/Managers", "Manager", [manager]),
        f"{ROOT}/SessionService": {
            "@odata.id": f"{ROOT}/SessionService",
            "@odata.type": "#SessionService.v1_1_8.SessionService",
            "Id": "SessionService",
            "Name": "Session Service",
            "ServiceEnabled": True,
            "SessionTimeout": 600,
            "Status": _GOOD,
            "Sessions": _link(f"{ROOT}/SessionService/Sessions"),
        },
        frame: {
            "@odata.id": frame,
            "@odata.type": "#Chassis.v1_14_0.Chassis",
            "Id": "1",
            "Name": machine.name,
            "ChassisType": "RackMount",
            "Status": _GOOD,
            "Links": {"ComputerSystems": [_link(system)], "ManagedBy": [_link(manager)]},
        },
        manager: {
            "@odata.id": manager,
            "@odata.type": "#Manager.v1_10_0.Manager",
            "Id": "1",
            "Name": f"{machine.name} BMC",
            "ManagerType": "BMC",
            "FirmwareVersion": "1.0",
            "Status": _GOOD,
            "Links": {"ManagerForServers": [_link(system)], "ManagerForChassis": [_link(frame)]},
        },
        f"{system}/EthernetInterfaces": collection(
            f"{system}/EthernetInterfaces", "EthernetInterface", [f"{system}/EthernetInterfaces/1"]
        ),
        f"{system}/EthernetInterfaces/1": {
            "@odata.id": f"{system}/EthernetInterfaces/1",
            "@odata.type": "#EthernetInterface.v1_6_0.EthernetInterface",
            "Id": "1",
            "Name": "Provision network",
            "MACAddress": machine.mac,
            "PermanentMACAddress": machine.mac,
            "Status": _GOOD,
        },
    }


def _root(chassis: Chassis) -> dict[str, Any]:
    return {
        "@odata.id": f"{ROOT}/",
        "@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Kedge lab BMC",
        "RedfishVersion": "1.6.0",
        "UUID": chassis.uuid,
        "Systems": _link(f"{ROOT}/Systems"),
        "Chassis": _link(f"{ROOT}/Chassis"),
        "Managers": _link(f"{ROOT}/Managers"),
        "SessionService": _link(f"{ROOT}/SessionService"),
        "Links": {"Sessions": _link(f"{ROOT}/SessionService/Sessions")},
    }


def session(path: str, name: str, user: str) -> dict[str, Any]:
    """One open session."""
    return {
        "@odata.id": path,
        "@odata.type": "#Session.v1_3_0.Session",
        "Id": name,
        "Name": f"Session {name}",
        "UserName": user,
    }


def system(machine: Machine, chassis: Chassis) -> dict[str, Any]:
    """The computer system as it is at this moment."""
    path = f"{ROOT}/Systems/{SYSTEM}"
    power = chassis.power()
    targets = {"none": "None", "pxe": "Pxe", "disk": "Hdd"}
    once = power.next_boot != "none"
    return {
        "@odata.id": path,
        "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
        "Id": SYSTEM,
        "Name": machine.name,
        "UUID": chassis.uuid,
        "SystemType": "Physical",
        "Manufacturer": "Kedge",
        "Model": f"lab {machine.arch} {machine.firmware}",
        "PowerState": "On" if power.on else "Off",
        "Status": {"State": "Enabled" if power.on else "StandbyOffline", "Health": "OK"},
        "MemorySummary": {"TotalSystemMemoryGiB": round(machine.memory_mb / 1024, 2)},
        "ProcessorSummary": {"Count": machine.cpus, "Model": machine.arch},
        "Boot": {
            "BootSourceOverrideEnabled": "Once" if once else "Disabled",
            "BootSourceOverrideTarget": targets[power.next_boot],
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "UefiHttp"],
            "BootSourceOverrideMode": "Legacy" if machine.firmware == "bios" else "UEFI",
        },
        "EthernetInterfaces": _link(f"{path}/EthernetInterfaces"),
        "Links": {
            "Chassis": [_link(f"{ROOT}/Chassis/1")],
            "ManagedBy": [_link(f"{ROOT}/Managers/1")],
        },
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": f"{path}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": RESET_TYPES,
            }
        },
    }
