// The page: a list of runs, or one run at one turn. The address says all of what is shown, so it can be shared.

import * as api from "./api.js";
import { Chart, edgeLines } from "./chart.js";
import { $, choose, count, note, offerBooks, showBooks } from "./page.js";
import * as show from "./show.js";

const POLL_MS = 200; // while a run is made again
const FRAME_MS = 40; // between two pictures while it plays
const SAY_MS = 600; // of rest before a screen reader is told where we are

const secondsOf = (time_ns) => Number(BigInt(time_ns) / 1000n) / 1e6;
const nsOf = (seconds) => BigInt(Math.round(seconds * 1e6)) * 1000n;

export async function showList() {
  const { runs: told, is_live } = await api.runs();
  $("live-link").hidden = !is_live;
  $("list").hidden = false;
  const link = (row) => show.element("a", { href: `/runs/${row.folder}` }, row.folder);
  const made = show.table("Runs", [["Run", link], ["Kind", "kind"], ["State", "state"], ["Orders", (row) => row.orders ?? "-", "n"],
    ["Fills", (row) => row.fills ?? "-", "n"], ["P&L", "profit", "n"], ["Held, lots", "held", "wide"]], told);
  made.id = "runs";
  $("runs").replaceWith(made);
}

export class Page {
  constructor(name) {
    this.run = api.run(name);
    this.asking = false;
    this.next = null;
    this.state = null;
    this.playing = null;
    this.starts = [];
    this.chart = new Chart($("chart"), {
      onSeek: (seconds) => this.seekTime(nsOf(seconds)),
      onRange: (from, to) => this.drawEdges(from && nsOf(from), to && nsOf(to)),
    });
  }

  async begin() {
    for (;;) {
      this.facts = await this.run.facts();
      if (this.facts.state === "ready") break;
      if (this.facts.state === "failed") throw new api.Failure(this.facts.failure);
      note(`The run is made again from its captures: ${count(this.facts.turns)} turns so far`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    note("");
    const asked = new URLSearchParams(location.search);
    this.pair = this.facts.pair;
    if (asked.has("left") && asked.has("right")) this.pair = [Number(asked.get("left")), Number(asked.get("right"))];
    $("title").textContent = this.facts.name;
    document.title = `${this.facts.name} - Crosswire console`;
    $("kind").textContent = this.facts.kind;
    $("warnings").replaceChildren(...this.facts.warnings.map((text) => show.element("li", {}, `warning: ${text}`)));
    $("turns").textContent = count(this.facts.turns);
    $("slider").max = this.facts.turns;
    offerBooks(this.facts.instruments.map((each) => each.name), (pair) => this.choose(pair));
    choose("run");
    this.listen();
    await this.ask(() => this.run.at(Number(asked.get("turn") ?? 1), this.pair));
    await this.drawEdges(0, 0);
  }

  // One question at a time; of those that come meanwhile the last one counts.
  async ask(question) {
    this.next = question;
    if (this.asking) return;
    this.asking = true;
    $("main").setAttribute("aria-busy", "true");
    try {
      while (this.next) {
        const now = this.next;
        this.next = null;
        this.render(await now());
      }
      note("");
    } catch (error) {
      this.pause();
      note(error.message);
    } finally {
      this.asking = false;
      $("main").setAttribute("aria-busy", "false");
    }
  }

  seek(turn) {
    this.pause();
    return this.ask(() => this.run.at(Math.max(1, Math.min(turn, this.facts.turns)), this.pair));
  }

  seekTime(time_ns) {
    this.pause();
    return this.ask(() => this.run.atTime(time_ns, this.pair));
  }

  find(kind, number) {
    this.pause();
    return this.ask(async () => {
      const found = await this.run.turn({ [kind]: number });
      if (String(found.pair) !== String(this.pair)) {
        this.pair = found.pair;
        this.drawEdges(0, 0);
      }
      return this.run.at(found.turn, this.pair);
    });
  }

  frame(number) {
    this.pause();
    return this.ask(async () => this.run.at((await this.run.turn({ frame: number })).turn, this.pair));
  }

  event(step) {
    this.pause();
    return this.ask(async () => {
      const found = await this.run.turn({ event: step, turn: this.state.turn });
      return this.run.at(found.turn, this.pair);
    });
  }

  opportunity(step) {
    const now = BigInt(this.state.time_ns);
    const found = step > 0 ? this.starts.find((each) => each.start_ns > now) : this.starts.findLast((each) => each.start_ns < now);
    return found && this.find("opportunity", found.number);
  }

  choose(pair) {
    this.pair = pair;
    this.ask(() => this.run.at(this.state.turn, this.pair));
    return this.drawEdges(0, 0);
  }

  async drawEdges(from_ns, to_ns) {
    try {
      const told = await this.run.edges(this.pair, from_ns, to_ns);
      this.starts = told.starts.map(([start_ns, number]) => ({ start_ns: BigInt(start_ns), number }));
      const columns = [told.times_s, ...told.bps];
      this.chart.draw(columns, edgeLines(this.pair.map((each) => this.facts.instruments[each].name)), told.opportunities);
      $("chart-note").textContent = told.is_whole ? "" : "The chart shows the part of the run that is at hand.";
      if (this.state) this.chart.moveTo(secondsOf(this.state.time_ns));
    } catch (error) {
      note(error.message);
    }
  }

  redraw() {
    this.chart.redraw();
  }

  render(state) {
    this.state = state;
    const seek = (kind, number) => this.find(kind, number);
    showBooks(this.pair, state);
    $("time").textContent = `${state.time} UTC`;
    $("turn").textContent = count(state.turn);
    $("frames").textContent = count(state.frames);
    $("slider").value = state.turn;
    $("slider").setAttribute("aria-valuetext", `turn ${count(state.turn)}, ${state.time} UTC`);
    $("positions").replaceChildren(...show.positions(state.positions, state.profit, show.HELD));
    $("open").replaceChildren(show.openOrders(state.open_orders, show.goTo("order", seek)));
    $("latency").replaceChildren(show.latencies(state.latencies));
    $("opportunities").replaceChildren(show.opportunities(state.opportunities, seek));
    $("orders").replaceChildren(show.orders(state.orders, seek));
    $("journal").replaceChildren(...show.journal(state.lines));
    this.chart.moveTo(secondsOf(state.time_ns));
    if (!this.playing) {
      history.replaceState(null, "", this.address());
      this.say();
    }
    document.body.dataset.turn = state.turn;
  }

  address() {
    return `${location.pathname}?turn=${this.state.turn}&left=${this.pair[0]}&right=${this.pair[1]}`;
  }

  say() {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      const edges = this.state.edges.filter((each) => each.edge).map((each) => `buy ${each.buy}, sell ${each.sell}: ${each.bps} bps`);
      $("said").textContent = `turn ${count(this.state.turn)}, ${this.state.time} UTC. ${edges.join("; ")}`;
    }, SAY_MS);
  }

  play() {
    if (this.playing) return this.pause();
    this.playing = { at: performance.now(), time_ns: BigInt(this.state.time_ns) };
    $("play").textContent = "Pause";
    const on = async () => {
      const playing = this.playing;
      if (!playing) return;
      const now = performance.now();
      const passed_us = (now - playing.at) * 1e3 * Number($("speed").value);
      playing.at = now;
      playing.time_ns += BigInt(Math.round(passed_us)) * 1000n;
      await this.ask(() => this.run.atTime(playing.time_ns, this.pair));
      if (this.state.turn >= this.facts.turns) this.pause();
      else setTimeout(on, FRAME_MS);
    };
    setTimeout(on, FRAME_MS);
    return undefined;
  }

  pause() {
    if (!this.playing) return;
    this.playing = null;
    $("play").textContent = "Play";
    history.replaceState(null, "", this.address());
    this.say();
  }

  goTo(kind, text) {
    const wanted = text.trim().replaceAll(",", "");
    if (kind === "time") {
      const [day, clock] = wanted.includes("T") || wanted.includes(" ") ? wanted.split(/[T ]+/) : [this.state.time.slice(0, 10), wanted];
      const [whole, part = ""] = clock.replace("Z", "").split(".");
      const milliseconds = Date.parse(`${day}T${whole}Z`);
      if (Number.isNaN(milliseconds) || !/^\d{0,9}$/.test(part)) return note(`${text}: write a time as 23:54:16.704 or 2024-08-08 23:54:16.704`);
      return this.seekTime(BigInt(milliseconds) * 1_000_000n + BigInt(part.padEnd(9, "0")));
    }
    if (!/^\d+$/.test(wanted)) return note(`${text}: write a whole number`);
    if (kind === "turn") return this.seek(Number(wanted));
    return kind === "frame" ? this.frame(wanted) : this.find(kind, wanted);
  }

  listen() {
    const actions = {
      play: () => this.play(), back: () => this.seek(this.state.turn - 1), on: () => this.seek(this.state.turn + 1),
      "event-back": () => this.event(-1), "event-on": () => this.event(1),
    };
    for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);
    $("slider").addEventListener("input", () => this.seek(Number($("slider").value)));
    $("go").addEventListener("submit", (event) => {
      event.preventDefault();
      this.goTo($("go-kind").value, $("go-value").value);
    });
    $("share").addEventListener("click", async () => {
      this.pause();
      await navigator.clipboard.writeText(new URL(this.address(), location.href).href).then(
        () => { $("said").textContent = "address copied"; $("share").textContent = "Copied"; },
        () => note("the browser does not let the page copy: take the address from its own bar"));
      setTimeout(() => { $("share").textContent = "Copy address"; }, 1500);
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const tag = event.target.tagName;
    if (tag === "INPUT" || tag === "SELECT" || tag === "TEXTAREA") return;
    if (event.key === " " && tag === "BUTTON") return;
    const speed = (step) => { $("speed").selectedIndex = Math.max(0, Math.min($("speed").selectedIndex + step, $("speed").options.length - 1)); };
    const keys = {
      " ": () => this.play(), Home: () => this.seek(1), End: () => this.seek(this.facts.turns),
      ArrowLeft: () => (event.shiftKey ? this.event(-1) : this.seek(this.state.turn - 1)),
      ArrowRight: () => (event.shiftKey ? this.event(1) : this.seek(this.state.turn + 1)),
      "[": () => this.opportunity(-1), "]": () => this.opportunity(1), "+": () => speed(1), "-": () => speed(-1),
      g: () => $("go-value").focus(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
