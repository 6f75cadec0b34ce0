"""Renders a node's host files in memory, from sandboxed templates that are compiled once."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.lib.host_files import HostFile
from kedge.site.model import FileTemplate, Network, Site
from kedge.site.problems import shorten
from kedge.site.words import PROVISION

SSH_KEYS = "ssh_authorized_keys"
"""The var that holds root's authorised keys, a list of texts."""

_FAULTS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, cache_size=0
)


class RenderedFile(HostFile):
    """One host file of one node, ready to be sent."""

    __slots__ = ()

    def as_record(self) -> dict[str, Value]:
        """The file as the node's configured record carries it."""
        return {
            "path": self.path,
            "mode": self.mode,
            "uid": self.uid,
            "gid": self.gid,
            "content": base64.b64encode(self.content).decode(),
        }


def render_files(site: Site, node: str) -> list[RenderedFile]:
    """All host files of a node in order of path; the site's own replace the built-in ones.

    Raises `KedgeErrors` that name each template and line at fault.
    """
    configuration = site.nodes[node]
    rendered = {file.path: file for file in _built_in(site, configuration)}
    own = site.files.get(node, ())
    context = _context(site, configuration) if own else {}
    errors: list[KedgeError] = []
    for file in own:
        try:
            rendered[file.path] = _render(file, node, context)
        except KedgeError as error:
            errors.append(error)
    if errors:
        raise KedgeErrors(errors)
    return [rendered[path] for path in sorted(rendered)]


@lru_cache(maxsize=1024)
def _compiled(text: str, source: str) -> Template:
    code = _ENVIRONMENT.compile(text, source, f"template:{source}")
    return Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))


def _render(file: FileTemplate, node: str, context: Mapping[str, Any]) -> RenderedFile:
    source = file.source or file.path
    try:
        text = _compiled(file.template, source).render(context)
        return RenderedFile(file.path, text.encode(), file.mode, file.uid, file.gid)
    except TemplateSyntaxError as error:
        raise _fault(file, source, error.lineno, error.message or "", "it is no template") from None
    except _FAULTS as error:
        line = _line(error, f"template:{source}")
        what = f"it cannot be rendered for {node}"
        raise _fault(file, source, line, str(error), what) from None


def _fault(file: FileTemplate, source: str, line: int, why: str, what: str) -> KedgeError:
    name, _, begin = source.rpartition(":")
    if name and begin.isdecimal():
        where, why = source, f"line {line} of the text: {why}"
    else:
        where = f"{source}:{line}"
    return KedgeError(
        "site.template",
        f"host file {file.path}: {what}",
        where=where,
        why=shorten(why, 300),
        next_step="Templates know node, group, cluster, networks and configured",
    )


def _line(error: BaseException, filename: str) -> int:
    """The template's line in which ``error`` arose."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _context(site: Site, node: Configuration) -> dict[str, Any]:
    group = site.groups.get(node.group)
    return {
        "node": {
            "name": node.name,
            "fqdn": fqdn(site, node.name),
            "group": node.group,
            "profiles": list(node.profiles),
            "addresses": dict(node.addresses),
            "macs": dict(node.macs),
            "vars": dict(node.attributes),
        },
        "group": {
            "name": node.group,
            "nodes": list(group.nodes) if group else [],
            "profiles": list(group.profiles) if group else [],
            "parents": list(group.parents) if group else [],
        },
        "cluster": {"name": site.cluster.name, "domain": site.cluster.domain},
        "networks": {name: _network(network) for name, network in site.networks.items()},
        "configured": _nested(node.values),
    }


@lru_cache(maxsize=256)
def _network(network: Network) -> Mapping[str, Any]:
    block = ipaddress.ip_network(network.cidr)
    return {
        "name": network.name,
        "cidr": network.cidr,
        "gateway": network.gateway,
        "dns": list(network.dns),
        "ntp": list(network.ntp),
        "prefix": block.prefixlen,
        "netmask": str(block.netmask),
    }


def _nested(values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """``configured.image.wanted`` as well as ``configured["image"]["wanted"]``."""
    nested: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        module, _, rest = name.partition(".")
        nested.setdefault(module, {})[rest] = value
    return nested


def fqdn(site: Site, node: str) -> str:
    """The node's name in the cluster's domain."""
    return f"{node}.{site.cluster.domain}" if site.cluster.domain else node


def _built_in(site: Site, node: Configuration) -> list[RenderedFile]:
    """What every node gets: its name, a minimal hosts file, and root's keys where there are any."""
    names = " ".join(dict.fromkeys((fqdn(site, node.name), node.name)))
    hosts = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    if PROVISION in node.addresses:
        hosts.append(f"{node.addresses[PROVISION]} {names}")
    files = [
        RenderedFile("/etc/hostname", f"{node.name}\n".encode()),
        RenderedFile("/etc/hosts", ("\n".join(hosts) + "\n").encode()),
    ]
    keys = node.attributes.get(SSH_KEYS)
    if keys:
        every = keys if isinstance(keys, list) else [keys]
        text = "".join(f"{str(key).strip()}\n" for key in every)
        files.append(RenderedFile("/root/.ssh/authorized_keys", text.encode(), 0o600))
    return files
