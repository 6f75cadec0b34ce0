"""The reference page's example is a site that loads."""

from __future__ import annotations

import re
from pathlib import Path

from site_samples import VARIABLES

from kedge.site import words
from kedge.site.loading import load

PAGE = Path(__file__).parents[3] / "docs/reference/site.md"


def test_the_examples_of_the_reference_page_load() -> None:
    text = PAGE.read_text(encoding="utf-8")
    whole, files = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    texts = {
        "site.yaml": whole,
        "files.yaml": files,
        "macs.csv": "node,network,mac\nn001,provision,52:54:00:77:00:01\n",
        "motd.j2": "{{ node.fqdn }}",
        "chrony.j2": "",
    }
    site = load(texts, VARIABLES)
    assert len(site.nodes) == 40
    assert site.nodes["n040"].addresses["provision"] == "10.77.1.40"
    assert site.nodes["n007"].hold == "broken fan, ticket 4711"


def test_every_section_is_documented() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in words.SECTIONS if f"| `{name}` |" not in text] == []
