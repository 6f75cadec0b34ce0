"""Loads a site: the texts of one folder become a checked `Site`, or every error at once."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.variable import Variable
from kedge.lib.errors import KedgeErrors
from kedge.site.checks import check_present, check_unique
from kedge.site.document import read_document
from kedge.site.draft import Draft, read_draft
from kedge.site.model import Group, Site
from kedge.site.problems import Place, Problems
from kedge.site.render import render_files
from kedge.site.resolve import Resolved, Resolver


def load(files: Mapping[str, str], graph_variables: Mapping[str, Variable]) -> Site:
    """The site that ``files`` describe (path within the folder -> text).

    ``graph_variables`` are the modules' variables by name; only configured ones may be set. Raises
    `KedgeErrors` with everything that is wrong; no other exception, whatever the texts are.
    """
    problems = Problems()
    document = read_document(files, problems)
    problems.raise_any()
    draft = read_draft(document, files, graph_variables, problems)
    whole = not problems  # else what is missing may be what was refused
    resolved = Resolver(draft, graph_variables, problems).run()
    if whole:
        check_present(draft, resolved, problems)
    check_unique(resolved.nodes, resolved.origins, problems)
    problems.raise_any()
    site = site_of(draft, resolved)
    try_files(site, problems)
    problems.raise_any()
    return site


def site_of(draft: Draft, resolved: Resolved) -> Site:
    """What was read and resolved, as a `Site`."""
    groups = {
        name: Group(
            name,
            tuple(group.nodes),
            group.layer.profiles or (),
            tuple(parent for parent, _ in group.parents),
            str(group.layer.hold.template) if group.layer.hold and group.layer.hold.fixed else "",
        )
        for name, group in draft.groups.items()
    }
    return Site(
        cluster=draft.cluster,
        networks={name: checked.network for name, checked in draft.networks.items()},
        groups=groups,
        nodes=resolved.nodes,
        origins=resolved.origins,
        files=resolved.files,
        budgets=draft.budgets.steps,
        budget_origins=draft.budgets.origins,
        out_of_service=draft.budgets.out_of_service,
        settings=draft.settings,
    )


def try_files(site: Site, problems: Problems) -> None:
    """Render each set of host files for one node that has it: a typo is refused before it is applied."""
    told: set[tuple[str, str]] = set()
    tried: set[tuple[str, tuple[str, ...], int]] = set()
    for name, files in site.files.items():
        node = site.nodes[name]
        key = (node.group, node.profiles, hash(files))
        if key in tried:
            continue
        tried.add(key)
        try:
            render_files(site, name)
        except KedgeErrors as errors:
            for error in errors.errors:
                if (error.where, error.why) in told:
                    continue
                told.add((error.where, error.why))
                file, _, line = error.where.rpartition(":")
                problems.add(error, Place(file, int(line) if line.isdecimal() else 0))
