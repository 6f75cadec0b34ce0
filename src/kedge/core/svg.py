"""The mutation graph as SVG, drawn here: no other program is needed to look at it.

Each variable is a panel. Its symbols stand side by side with a line down from each, and every mutation
has a row of its own, with an arrow from where it may begin to where it leads and its words beside it,
so nothing ever lies over anything. Sizes are in pixels; widths of texts are estimates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from kedge.core.picture import Arrow, Box, Drawing

LETTER = 7.2
SMALL = 6.2
HEAD = 58
ROW = 38
PANEL_GAP = 22
EDGE = 20
LEAST_COLUMN = 96
STYLE = (
    "text{font-family:ui-sans-serif,system-ui,sans-serif;font-size:12px;fill:#1c2733}"
    ".title{font-size:14px;font-weight:600}.small{font-size:10.5px;fill:#5b6b7b}"
    ".panel{fill:#fff;stroke:#c8d1da}.symbol{fill:#eef2f6;stroke:#9aa8b6}"
    ".here{fill:#ffd54d;stroke:#a87f00}.life{stroke:#d5dce3}.life-here{stroke:#e0b400;stroke-width:3}"
    ".edge{stroke:#3d4b59;stroke-width:1.5;fill:#3d4b59}.path{stroke:#0b62c4;stroke-width:3;fill:#0b62c4}"
    ".hard{stroke:#b3261e;fill:#b3261e}.step{fill:#0b62c4}.number{fill:#fff;font-size:11px}"
)


@dataclass(slots=True)
class _Row:
    """A mutation in one panel: from several symbols to one."""

    arrow: Arrow
    starts: list[str] = field(default_factory=list[str])


def svg(picture: Drawing) -> str:
    """The picture as one SVG document."""
    panels = [_Panel(box, _rows(box, picture.arrows)) for box in picture.boxes]
    width = max([400.0, *(panel.width for panel in panels)])
    parts: list[str] = []
    top = float(EDGE)
    for panel in panels:
        parts += panel.drawn(top, width)
        top += panel.height + PANEL_GAP
    if picture.node:
        parts += _legend(picture.node, top)
        top += 30
    whole = width + 2 * EDGE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole:.0f} {top:.0f}" '
            f'width="{whole:.0f}" height="{top:.0f}" role="img" aria-label="mutation graph">',
            f"<style>{STYLE}</style>",
            f'<rect width="{whole:.0f}" height="{top:.0f}" fill="#f7f9fb"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _rows(box: Box, arrows: Sequence[Arrow]) -> list[_Row]:
    """The mutations of a variable, each once."""
    found: dict[tuple[str, str], _Row] = {}
    for arrow in arrows:
        if arrow.variable == box.variable:
            row = found.setdefault((arrow.mutation, arrow.after), _Row(arrow))
            row.starts.append(arrow.before)
    return list(found.values())


class _Panel:
    """One variable with its mutations; it knows its size before it is drawn."""

    def __init__(self, box: Box, rows: Sequence[_Row]) -> None:
        self._box = box
        self._rows = rows
        longest = max([len(symbol) for symbol in box.symbols], default=0)
        self._column = max(float(LEAST_COLUMN), longest * LETTER + 28)
        self._words = EDGE + self._column * len(box.symbols) + 16
        self.height = HEAD + 26 + ROW * len(rows)
        said = [max(len(_name(row)) * LETTER, len(_rest(row)) * SMALL) for row in rows]
        titled = len(box.variable) * 8.5 + len(box.note) * SMALL + 24
        self.width = max([titled, self._words + max(said, default=0.0)]) + EDGE

    def _x(self, symbol: str) -> float:
        place = self._box.symbols.index(symbol)
        return EDGE * 2 + self._column * (place + 0.5)

    def drawn(self, top: float, width: float) -> Iterator[str]:
        """The panel with its upper edge at ``top``, as wide as all."""
        box = self._box
        yield (
            f'<rect class="panel" x="{EDGE}" y="{top:.0f}" '
            f'width="{width:.0f}" height="{self.height}" rx="8"/>'
        )
        yield _text(EDGE * 2, top + 22, box.variable, "title")
        yield _text(EDGE * 2 + len(box.variable) * 8.5 + 12, top + 22, box.note, "small")
        bottom = top + self.height - 10
        for symbol in box.symbols:
            here = symbol == box.here
            x = self._x(symbol)
            life = "life-here" if here else "life"
            yield f'<line class="{life}" x1="{x:.1f}" y1="{top + 58:.0f}" x2="{x:.1f}" y2="{bottom:.0f}"/>'
            wide = self._column - 12
            yield (
                f'<rect class="{"here" if here else "symbol"}" x="{x - wide / 2:.1f}" '
                f'y="{top + 34:.0f}" width="{wide:.1f}" height="24" rx="12"/>'
            )
            yield _text(x, top + 50, symbol, anchor="middle")
        for place, row in enumerate(self._rows):
            yield from self._row(row, top + HEAD + 24 + ROW * place)

    def _row(self, row: _Row, y: float) -> Iterator[str]:
        arrow = row.arrow
        kind = "edge" + (" hard" if arrow.destructive else "") + (" path" if arrow.step else "")
        end = self._x(arrow.after)
        yield f"<g><title>{escape(arrow.label)}</title>"
        for symbol in row.starts:
            begin = self._x(symbol)
            tip = end - 7 if begin < end else end + 7
            back = tip - 6 if begin < end else tip + 6
            yield f'<line class="{kind}" x1="{begin:.1f}" y1="{y:.0f}" x2="{back:.1f}" y2="{y:.0f}"/>'
            yield f'<circle class="{kind}" cx="{begin:.1f}" cy="{y:.0f}" r="3"/>'
            yield (
                f'<path class="{kind}" d="M{tip + (6 if begin < end else -6):.1f} {y:.0f} '
                f'L{back:.1f} {y - 5:.0f} L{back:.1f} {y + 5:.0f} Z"/>'
            )
        words = EDGE + self._words
        if arrow.step:
            yield f'<circle class="step" cx="{words + 8:.1f}" cy="{y - 4:.0f}" r="9"/>'
            yield _text(words + 8, y, str(arrow.step), "number", anchor="middle")
            words += 24
        yield _text(words, y, _name(row))
        yield _text(words, y + 14, _rest(row), "small")
        yield "</g>"


def _name(row: _Row) -> str:
    return f"{row.arrow.mutation}  ({row.arrow.cost_s} s)"


def _rest(row: _Row) -> str:
    needs = f"needs {row.arrow.needs}" if row.arrow.needs else ""
    also = f"also {row.arrow.also}" if row.arrow.also else ""
    return "; ".join(filter(None, (needs, also)))


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    if not words:
        return ""
    chosen = f" class={quoteattr(kind)}" if kind else ""
    placed = f" text-anchor={quoteattr(anchor)}" if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{chosen}{placed}>{escape(words)}</text>'


def _legend(node: str, top: float) -> Iterator[str]:
    yield f'<rect class="here" x="{EDGE}" y="{top:.0f}" width="22" height="14" rx="7"/>'
    yield _text(EDGE + 30, top + 11, f"where {node} is")
    yield f'<circle class="step" cx="{EDGE + 178}" cy="{top + 7:.0f}" r="8"/>'
    yield _text(EDGE + 194, top + 11, "steps of its path")
    y = f"{top + 7:.0f}"
    yield f'<line class="edge hard" x1="{EDGE + 330}" y1="{y}" x2="{EDGE + 352}" y2="{y}"/>'
    yield _text(EDGE + 360, top + 11, "may end work")
