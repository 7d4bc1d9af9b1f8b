// The edge over time, with the cursor and the opportunities between the two books.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  constructor(place, { onSeek, onRange }) {
    Object.assign(this, { place, onSeek, onRange, spans: [], cursor: null, plot: null });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(place);
  }

  size() {
    return { width: this.place.clientWidth, height: 170 };
  }

  draw(told, names) {
    this.told = told;
    this.names = names;
    this.spans = told.opportunities;
    this.plot?.destroy();
    this.place.replaceChildren();
    if (!told.times_s.length) return;
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const line = (label, name) => ({ label, stroke: colour(name), width: 1, points: { show: false },
      value: (_, bps) => (bps == null ? "-" : `${bps.toFixed(3)} bps`) });
    this.plot = new uPlot({
      ...this.size(), tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      cursor: { y: false, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: true } },
      series: [{ label: "UTC", value: (_, s) => (s == null ? "-" : new Date(s * 1e3).toISOString().slice(11, 23)) },
        line(`buy ${names[0]}, sell ${names[1]}`, "--accent"), line(`buy ${names[1]}, sell ${names[0]}`, "--sell")],
      axes: [{ ...axis, space: 90, values: (_, at) => at.map((s) => new Date(s * 1e3).toISOString().slice(11, 19)) },
        { ...axis, size: 62, values: (_, at) => at.map((bps) => `${bps} bps`) }],
      hooks: { drawClear: [(plot) => this.drawSpans(plot)], draw: [(plot) => this.drawCursor(plot)],
        setSelect: [(plot) => this.select(plot)], ready: [(plot) => this.listen(plot)] },
    }, [told.times_s, ...told.bps], this.place);
  }

  redraw() {
    if (this.told) this.draw(this.told, this.names);
  }

  listen(plot) {
    plot.root.querySelector("table").createCaption().className = "unseen";
    plot.root.querySelector("caption").textContent = "Edges at the pointer";
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
