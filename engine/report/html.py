"""The report as one HTML file that fetches nothing, so that it opens from a disk, a mail or a bastion host."""

import html
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import repeat

import msgspec

from crosswire.engine.report import plots
from crosswire.engine.report.plots import Figure

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #2d3748; --quiet: #667085; --line: #e2e6ed; --row: #edf0f5;
  --box: #f7f8fa; --good: #2f7d4f; --bad: #b3261e; --warn: #fdf1ef; }
@media (prefers-color-scheme: dark) { :root { --page: #14181f; --ink: #dfe4ec; --quiet: #98a2b3; --line: #333b47;
  --row: #262d37; --box: #1c222b; --good: #6cc08b; --bad: #f2877f; --warn: #35201f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 28px 24px 60px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h1 small { font-size: 14px; font-weight: 600; border: 1px solid; border-radius: 6px; padding: 1px 8px; margin-left: 8px;
  vertical-align: 4px; } h1 small.live { color: var(--bad); }
h2 { font-size: 18px; margin: 40px 0 4px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 14px; margin: 18px 0 0; font-weight: 600; }
p { margin: 4px 0 10px; max-width: 90ch; }
.quiet, p.note { color: var(--quiet); font-size: 13px; }
.warnings { background: var(--warn); border: 1px solid var(--bad); border-radius: 8px; padding: 8px 14px 8px 30px;
  margin: 14px 0; font-size: 13.5px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 12px; margin: 20px 0 8px; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 12px; font-weight: 600; color: var(--quiet); }
.tile strong { display: block; font-size: 19px; font-weight: 600; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 12.5px; color: var(--quiet); }
.good strong, td.good { color: var(--good); } .bad strong, td.bad { color: var(--bad); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; } .pair > div { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0 4px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: right; border-bottom: 1px solid var(--row); white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; } th.text, td.text { text-align: left; }
td.wrap { white-space: normal; min-width: 200px; }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; font-size: 12.5px;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
tr[data-detail] { cursor: pointer; }
#detail { position: fixed; right: 16px; bottom: 16px; width: min(620px, 90vw); max-height: 60vh; overflow: auto;
  background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; display: none; }
#detail.shown { display: block; } #detail pre { border: 0; padding: 0; margin: 4px 0; } #detail button { float: right; }
@media (max-width: 860px) { .pair { grid-template-columns: 1fr; } }
@media print { body { max-width: none; padding: 0; } .figure, .tile, tr, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .modebar, #detail { display: none; } }
"""

# The browser itself refuses whatever would be fetched.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

# Colours of the plots, light to dark: they are written for paper, and exchanged where the reader prefers a dark page.
DARK_COLOURS = {
    plots.INK: "#dfe4ec",
    plots.GRID: "#2b323d",
    plots.ZERO: "#465060",
    plots.PAPER: "#14181f",
    plots.VEIL: "rgba(20,24,31,0.85)",
    plots.ASK_COLOUR: "#5f6d84",
    plots.BID_COLOUR: "#93a5c4",
}
DRAW = """
const source = document.getElementById("figures").textContent, panel = document.getElementById("detail");
const details = JSON.parse(document.getElementById("details").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
function show(key) {
  if (!key) return;
  panel.querySelector("b").textContent = key;
  panel.querySelector("pre").textContent = details.command + " " + key + "\\n\\n" + (details.rows[key] || "");
  panel.className = "shown";
}
function draw() {
  let words = source;
  if (dark.matches) for (const [light, other] of Object.entries(COLOURS)) words = words.replaceAll(light, other);
  for (const [id, figure] of Object.entries(JSON.parse(words))) {
    Plotly.react(id, figure.data, figure.layout, {displayModeBar: false, responsive: true});
    const place = document.getElementById(id);
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", event => show(event.points[0].customdata));
  }
}
draw();
dark.addEventListener("change", draw);
panel.querySelector("button").onclick = () => panel.className = "";
for (const row of document.querySelectorAll("tr[data-detail]")) row.onclick = () => show(row.dataset.detail);
""".replace("COLOURS", json.dumps(DARK_COLOURS))


def text(value: object) -> str:
    """Convert anything to HTML text that is also safe within an attribute and in plotly's labels."""
    return html.escape(str(value), quote=True)


class Page:
    """HTML gathered from top to bottom."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self._figures: dict[str, Figure] = {}
        self._command = ""
        self._details: dict[str, str] = {}

    def detail(self, command: str, details: dict[str, str]) -> None:
        """Set what a click on something with a key shows: the command for it, and the lines that are at hand."""
        self._command, self._details = command, details

    def warnings(self, lines: Sequence[str]) -> None:
        """Add what is wrong with the figures; nothing if there is nothing."""
        if lines:
            items = "".join(f"<li>{text(line)}</li>" for line in lines)
            self.add(f"<ul class='warnings'>{items}</ul>")

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

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], details: Iterable[str] | None = None
    ) -> None:
        """Add a table; a column whose name starts with "<" is text, on the left; with "<<" it may wrap.

        `details`: the key of what a click on each row shows.
        """
        kinds = ["text wrap" if name.startswith("<<") else "text" if name.startswith("<") else "" for name in columns]
        heads = "".join(
            f"<th class='{kind}'>{text(name.lstrip('<'))}</th>" for name, kind in zip(columns, kinds, strict=True)
        )
        self.add(f"<div class='scroll'><table><thead><tr>{heads}</tr></thead><tbody>")
        keys = repeat("") if details is None else details
        for row, key in zip(rows, keys, strict=details is not None):
            cells = zip(row, kinds, strict=True)
            self.add(
                (f"<tr data-detail='{text(key)}'>" if key else "<tr>")
                + "".join(f"<td class='{kind}'>{text(cell)}</td>" for cell, kind in cells)
                + "</tr>"
            )
        self.add("</tbody></table></div>")

    def render(self) -> str:
        """Return the whole file."""
        # A "<" inside a script could end it; in JSON text it may be written as its code point.
        figures, details = (
            msgspec.json.encode(each).decode().replace("<", "\\u003c")
            for each in (self._figures, {"command": self._command, "rows": self._details})
        )
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
                "<div id='detail'><button>close</button><b></b><pre></pre></div>",
                f"<script type='application/json' id='figures'>{figures}</script>",
                f"<script type='application/json' id='details'>{details}</script>",
                f"<script>{plotly}</script>",
                f"<script>{DRAW}</script>",
                "</body></html>\n",
            ]
        )
