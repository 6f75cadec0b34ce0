"""What goes down to a node's agent when its configuration changes: who it is, and its host files."""

from __future__ import annotations

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.head import Head
from kedge.master.io import encode
from kedge.master.link import Link
from kedge.master.nodes import NodeState
from kedge.site.render import render_files


def send_records(head: Head, link: Link, node: NodeState) -> None:
    """Put the node's own record and its rendered host files where its agent will find them."""
    configuration = node.configuration
    site = head.site
    if site is None:
        return
    about: dict[str, Value] = {
        "name": node.name,
        "hostname": node.name,
        "domain": site.cluster.domain,
        "group": configuration.group,
        "addresses": dict(configuration.addresses),
    }
    link.put(node.name, "node", encode(about))
    try:
        files = render_files(site, node.name)
    except KedgeError as error:
        head.journal.write(node.name, "files", error.code, cause=str(error))
        return
    link.put(node.name, "files", encode([file.as_record() for file in files]))
