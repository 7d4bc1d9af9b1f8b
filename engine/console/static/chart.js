// Lines over time: the edge with the cursor and the opportunities between the two books, and what a run has earned.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const edgeLines = ([left, right]) => [
  { label: `buy ${left}, sell ${right}`, colour: "--accent", unit: "bps", digits: 3 },
  { label: `buy ${right}, sell ${left}`, colour: "--sell", unit: "bps", digits: 3 },
];

export class Chart {
  constructor(place, { onSeek = () => {}, onRange = () => {} } = {}) {
    Object.assign(this, { place, onSeek, onRange, spans: [], cursor: null, plot: null });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(place);
  }

  size() {
    return { width: this.place.clientWidth, height: 170 };
  }

  draw(columns, lines, spans = []) {
    Object.assign(this, { columns, lines, spans });
    this.plot?.destroy();
    this.plot = null;
    this.place.replaceChildren();
    if (!columns[0].length) return;
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const units = [...new Set(lines.map((line) => line.unit))]; // each has a scale; the first two an axis
    const scaleAxis = (unit, place) => ({ ...axis, scale: unit, side: place ? 1 : 3, grid: place ? { show: false } : axis.grid,
      size: 62 + (unit === "bps" ? 0 : 30), values: (_, at) => at.map((value) => `${value} ${unit}`) });
    this.plot = new uPlot({
      ...this.size(), tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      cursor: { y: false, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: true } },
      series: [{ label: "UTC", value: (_, s) => (s == null ? "-" : new Date(s * 1e3).toISOString().slice(11, 23)) },
        ...lines.map((line) => ({ label: line.label, scale: line.unit, stroke: colour(line.colour), width: 1, points: { show: false },
          value: (_, value) => (value == null ? "-" : `${value.toFixed(line.digits)} ${line.unit}`) }))],
      axes: [{ ...axis, space: 90, values: (_, at) => at.map((s) => new Date(s * 1e3).toISOString().slice(11, 19)) },
        ...units.slice(0, 2).map(scaleAxis)],
      hooks: { drawClear: [(plot) => this.drawSpans(plot)], draw: [(plot) => this.drawCursor(plot)],
        setSelect: [(plot) => this.select(plot)], ready: [(plot) => this.listen(plot)] },
    }, columns, this.place);
  }

  // Show more of the same lines.
  extend(columns) {
    this.columns = columns;
    if (this.plot) this.plot.setData(columns);
    else this.draw(columns, this.lines, this.spans);
  }

  redraw() {
    if (this.columns) this.draw(this.columns, this.lines, this.spans);
  }

  listen(plot) {
    plot.root.querySelector("table").createCaption().className = "unseen";
    plot.root.querySelector("caption").textContent = "Values at the pointer";
    plot.over.addEventListener("click", (event) => {
      if (plot.select.width < 3) this.onSeek(plot.posToVal(event.offsetX, "x"));
    });
    plot.over.addEventListener("dblclick", () => this.onRange(0, 0));
  }

  select(plot) {
    if (plot.select.width < 3) return;
    this.onRange(plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
  }

  drawSpans(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.fillStyle = colour("--mark");
    for (const [begin, end] of this.spans) {
      const from = Math.max(plot.valToPos(begin, "x", true), left);
      const to = Math.min(Math.max(plot.valToPos(end, "x", true), from + 1), left + width);
      if (to > from) plot.ctx.fillRect(from, top, to - from, height);
    }
    plot.ctx.restore();
  }

  drawCursor(plot) {
    if (this.cursor == null) return;
    const { left, top, width, height } = plot.bbox;
    const at = plot.valToPos(this.cursor, "x", true);
    if (at < left || at > left + width) return;
    plot.ctx.save();
    plot.ctx.strokeStyle = colour("--text");
    plot.ctx.lineWidth = devicePixelRatio;
    plot.ctx.beginPath();
    plot.ctx.moveTo(at, top);
    plot.ctx.lineTo(at, top + height);
    plot.ctx.stroke();
    plot.ctx.restore();
  }

  moveTo(seconds) {
    this.cursor = seconds;
    this.plot?.redraw(false);
  }
}
