"""The report as one HTML file that fetches nothing, so that it opens from a disk, a mail or a bastion host."""

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

import msgspec

from crosswire.engine.report.plots import Figure

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 28px 24px 60px; background: #fff; color: #2d3748;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 40px 0 4px; padding-top: 14px; border-top: 1px solid #e2e6ed; }
h3 { font-size: 14px; margin: 18px 0 0; font-weight: 600; }
p { margin: 4px 0 10px; max-width: 90ch; }
.quiet, p.note { color: #667085; font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 12px; margin: 20px 0 8px; }
.tile { border: 1px solid #e2e6ed; border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 12px; font-weight: 600; color: #667085; }
.tile strong { display: block; font-size: 19px; font-weight: 600; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 12.5px; color: #667085; }
.good strong { color: #2f7d4f; } .bad strong { color: #b3261e; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; } .pair > div { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0 4px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: right; border-bottom: 1px solid #edf0f5; white-space: nowrap; }
th { color: #667085; font-weight: 600; } th.text, td.text { text-align: left; }
td.wrap { white-space: normal; min-width: 200px; }
pre { background: #f7f8fa; border: 1px solid #e2e6ed; border-radius: 8px; padding: 12px 14px; font-size: 12.5px;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 860px) { .pair { grid-template-columns: 1fr; } }
@media print { body { max-width: none; padding: 0; } .figure, .tile, tr, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .modebar { display: none; } }
"""

# The browser itself refuses whatever would be fetched.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

DRAW = """
for (const [id, figure] of Object.entries(JSON.parse(document.getElementById("figures").textContent)))
  Plotly.newPlot(id, figure.data, figure.layout, {displayModeBar: false, responsive: true});
"""


def text(value: object) -> str:
    """Convert anything to HTML text that is also safe within an attribute and in plotly's labels."""
    return html.escape(str(value), quote=True)


class Page:
    """HTML gathered from top to bottom."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self._figures: dict[str, Figure] = {}

    def add(self, markup: str) -> None:
        """Add HTML that is already escaped."""
        self._parts.append(markup)

    def section(self, title: str, explanation: str = "") -> None:
        """Add a heading and a line on what is shown."""
        self.add(f"<h2>{text(title)}</h2>")
        if explanation:
            self.add(f"<p class='quiet'>{text(explanation)}</p>")

    def note(self, words: str) -> None:
        """Add a remark in small print."""
        self.add(f"<p class='note'>{text(words)}</p>")

    def tiles(self, tiles: Iterable[tuple[str, str, str, str]]) -> None:
        """Add headline figures: (label, figure, what it is made of, "good", "bad" or "")."""
        self.add("<div class='tiles'>")
        for label, value, detail, mood in tiles:
            self.add(f"<div class='tile {text(mood)}'><b>{text(label)}</b><strong>{text(value)}</strong>")
            self.add(f"<span>{text(detail)}</span></div>")
        self.add("</div>")

    def figure(self, title: str, figure: Figure) -> None:
        """Add one plot over the whole width."""
        self.add(self._place(title, figure))

    def figures(self, figures: Sequence[tuple[str, Figure]]) -> None:
        """Add plots side by side, two to a row."""
        self.add("<div class='pair'>")
        for title, figure in figures:
            self.add(self._place(title, figure))
        self.add("</div>")

    def _place(self, title: str, figure: Figure) -> str:
        name = f"figure-{len(self._figures)}"
        self._figures[name] = figure
        height = int(figure["layout"]["height"])
        return f"<div class='figure'><h3>{text(title)}</h3><div id='{name}' style='height:{height}px'></div></div>"

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; a column whose name starts with "<" is text, on the left; with "<<" it may wrap."""
        kinds = ["text wrap" if name.startswith("<<") else "text" if name.startswith("<") else "" for name in columns]
        heads = "".join(
            f"<th class='{kind}'>{text(name.lstrip('<'))}</th>" for name, kind in zip(columns, kinds, strict=True)
        )
        self.add(f"<div class='scroll'><table><thead><tr>{heads}</tr></thead><tbody>")
        for row in rows:
            cells = zip(row, kinds, strict=True)
            self.add("<tr>" + "".join(f"<td class='{kind}'>{text(cell)}</td>" for cell, kind in cells) + "</tr>")
        self.add("</tbody></table></div>")

    def render(self) -> str:
        """Return the whole file."""
        # A "<" inside a script could end it; in JSON text it may be written as its code point.
        figures = msgspec.json.encode(self._figures).decode().replace("<", "\\u003c")
        plotly = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
        return "\n".join(
            [
                "<!DOCTYPE html>",
                "<html lang='en'><head><meta charset='utf-8'>",
                f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
                "<meta name='viewport' content='width=device-width, initial-scale=1'>",
                f"<title>{text(self._title)}</title>",
                f"<style>{STYLE}</style></head><body>",
                *self._parts,
                f"<script type='application/json' id='figures'>{figures}</script>",
                f"<script>{plotly}</script>",
                f"<script>{DRAW}</script>",
                "</body></html>\n",
            ]
        )
