"""The graph as SVG: well-formed, complete, within its frame, and the same every time."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

from fake_modules import modules
from kedge.core.draw import drawing
from kedge.core.graph import Graph
from kedge.core.picture import Drawing
from kedge.core.svg import svg

SPACE = "{http://www.w3.org/2000/svg}"


def picture(**more: object) -> Drawing:
    found = drawing(
        Graph.of(modules()),
        discovered={"power.state": "off"},
        path=["power.switch_on", "boot.load"],
    )
    return replace(found, **more)  # type: ignore[arg-type]


def texts(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SPACE}text")]


def test_every_symbol_and_mutation_is_there_once_in_its_panel() -> None:
    found = picture(node="n1")
    root = ET.fromstring(svg(found))
    said = texts(root)
    for box in found.boxes:
        assert said.count(box.variable) == 1
    rows = {(arrow.variable, arrow.mutation, arrow.after) for arrow in found.arrows}
    assert len(list(root.iter(f"{SPACE}g"))) == len(rows)
    arrows = [line for line in root.iter(f"{SPACE}line") if "life" not in (line.get("class") or "")]
    assert len(arrows) == len(found.arrows) + 1, "one for each, and one in the legend"


def test_a_nodes_place_and_the_numbers_of_its_steps_are_marked() -> None:
    root = ET.fromstring(svg(picture(node="n1")))
    (here,) = (
        r for r in root.iter(f"{SPACE}rect") if r.get("class") == "here" and r.get("height") == "24"
    )
    assert here.get("rx") == "12"
    numbers = [t.text for t in root.iter(f"{SPACE}text") if t.get("class") == "number"]
    assert sorted(set(numbers)) == ["1", "2"] and "where n1 is" in texts(root)
    assert "where" not in " ".join(texts(ET.fromstring(svg(picture()))))


def test_nothing_lies_outside_of_the_frame_or_over_another_panel() -> None:
    root = ET.fromstring(svg(picture(node="n1")))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for text in root.iter(f"{SPACE}text"):
        right = float(text.get("x", 0)) + 6 * len(text.text or "") * (
            text.get("text-anchor") is None
        )
        assert 0 < right <= width and 0 < float(text.get("y", 0)) <= height, text.text
    panels = [r for r in root.iter(f"{SPACE}rect") if r.get("class") == "panel"]
    spans = [
        (float(p.get("y", 0)), float(p.get("y", 0)) + float(p.get("height", 0))) for p in panels
    ]
    assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))


def test_names_are_escaped_and_the_order_of_modules_does_not_matter() -> None:
    evil = picture(node='<script>"&')
    assert "<script>" not in svg(evil) and 'where <script>"& is' in texts(ET.fromstring(svg(evil)))
    assert svg(drawing(Graph.of(modules()))) == svg(drawing(Graph.of(list(reversed(modules())))))
