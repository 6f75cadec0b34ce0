"""Host files: what is rendered, and how a fault in a template is told."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from site_samples import SMALL, LoadText, Refused

from kedge.lib.errors import KedgeErrors
from kedge.lib.host_files import files_digest, parse_host_files
from kedge.site.render import RenderedFile, render_files

FILES = """
files:
  /etc/motd: { template: templates/motd.j2, mode: 0600, owner: 1000:100 }
"""


def content(files: list[RenderedFile], path: str) -> str:
    return next(file.content.decode() for file in files if file.path == path)


def test_templates_know_node_group_cluster_networks_and_configuration(load_text: LoadText) -> None:
    template = (
        "{{ node.fqdn }} {{ node.addresses.provision }}/{{ networks.provision.prefix }} "
        "{{ group.nodes | length }} {{ cluster.name }} {{ configured.image.wanted }} "
        "{{ node.vars.rack + 1 }} {% for key in configured['boot']['args'] %}{{ key }};{% endfor %}\n"
    )
    text = SMALL.replace(
        'nodes: "n[1-4]" }',
        'nodes: "n[1-4]", vars: { rack: 3 }, image.wanted: i, boot.args: [a, b] }',
    )
    site = load_text(text + FILES, {"templates/motd.j2": template})
    files = render_files(site, "n2")
    assert content(files, "/etc/motd") == "n2.lab.example 10.77.1.2/16 4 lab i 4 a;b;\n"
    motd = next(file for file in files if file.path == "/etc/motd")
    assert (motd.mode, motd.uid, motd.gid) == (0o600, 1000, 100)
    assert base64.b64decode(str(motd.as_record()["content"])) == motd.content
    sent = parse_host_files([file.as_record() for file in files])
    assert files_digest(sent) == files_digest(files), "the node sees the digest that the head does"


def test_every_node_gets_its_name_and_root_keys_where_given(load_text: LoadText) -> None:
    text = SMALL.replace(
        "example }", "example, vars: { ssh_authorized_keys: [ssh-a A, ssh-b B] } }"
    )
    files = render_files(load_text(text), "n1")
    assert [file.path for file in files] == [
        "/etc/hostname",
        "/etc/hosts",
        "/root/.ssh/authorized_keys",
    ]
    assert content(files, "/etc/hostname") == "n1\n"
    assert "10.77.1.1 n1.lab.example n1\n" in content(files, "/etc/hosts")
    assert content(files, "/root/.ssh/authorized_keys") == "ssh-a A\nssh-b B\n"
    assert files[-1].mode == 0o600
    assert len(render_files(load_text(), "n1")) == 2


def test_the_sites_own_file_replaces_a_built_in_one(load_text: LoadText) -> None:
    site = load_text(SMALL + 'files: { /etc/hosts: { text: "own\\n" } }')
    assert content(render_files(site, "n1"), "/etc/hosts") == "own\n"


@pytest.mark.parametrize(
    ("template", "line", "why"),
    [
        ("a\nb {{ node.nmae }}", 2, "nmae"),
        ("a\n{% if %}\n", 2, "Expected an expression"),
        ("\n\n{{ 1 // 0 }}", 3, "zero"),
        ("{{ node.name + 1 }}", 1, "str"),
        ("{{ ''.__class__.__mro__ }}", 1, "__class__"),
        ("{% include 'x' %}", 1, "loader"),
        ("\n{{ range(100000000) | list }}", 2, "range"),
        ("{{ node.vars.update({'a': 1}) }}", 1, "unsafe"),
    ],
)
def test_a_fault_is_refused_at_load_with_template_and_line(
    template: str, line: int, why: str, refused: Refused
) -> None:
    (error,) = refused(SMALL + FILES, {"templates/motd.j2": template})
    assert error.code == "site.template"
    assert error.where == f"templates/motd.j2:{line}"
    assert why in error.why


def test_a_fault_in_a_text_names_the_sites_own_line(refused: Refused) -> None:
    (error,) = refused(SMALL + "files:\n  /etc/x:\n    text: |\n      good\n      {{ bad }}\n")
    assert error.where == "site.yaml:8"
    assert "line 2 of the text" in error.why


def test_all_faulty_files_of_a_node_are_named_together(load_text: LoadText) -> None:
    site = load_text(SMALL + 'files: { /a: { text: "x" }, /b: { text: "y" } }')
    broken = tuple(replace(file, template="{{ nothing }}") for file in site.files["n1"])
    with pytest.raises(KedgeErrors) as caught:
        render_files(replace(site, files={"n1": broken}), "n1")
    assert len(caught.value.errors) == 2
