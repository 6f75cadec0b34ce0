"""What goes down to a node's agent when its configuration changes: who it is, and its host files."""

from __future__ import annotations

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.agents.duties import PREFIX, DutyEntries
from kedge.master.agents.encoding import encode
from kedge.master.agents.link import Link
from kedge.master.engine.head import Head
from kedge.master.engine.nodes import NodeState
from kedge.site.render import render_files


def send_records(head: Head, link: Link, duties: DutyEntries, node: NodeState) -> None:
    """Put the node's own record, its duties and its rendered host files where its agent will find them."""
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
    entries: dict[str, bytes | None] = {
        name: None for name in link.names(node.name) if name.startswith(PREFIX)
    }
    entries.update(duties.of(node))
    entries["node"] = encode(about)
    try:
        files = render_files(site, node.name)
        entries["files"] = encode([file.as_record() for file in files])
    except KedgeError as error:
        head.journal.write(node.name, "files", error.code, cause=str(error))
    link.put_all(node.name, entries)
