// A live run: what it is now, a second old at most and greyed once it is older, and the commands that its monitor takes.

import { live } from "./api.js";
import { Chart, edgeLines } from "./chart.js";
import { $, choose, count, note, offerBooks, showBooks } from "./page.js";
import * as show from "./show.js";

const LOOK_MS = 1000;
const STALE_S = 3; // as the server has it: what is older is not shown as if it were now
const POINTS_MAX = 3600;
const COLOURS = ["--accent", "--sell", "--buy", "--text"];

export class LivePage {
  constructor() {
    this.edges = new Chart($("chart"));
    this.profit = new Chart($("profit-chart"));
    this.pair = null;
    this.names = "";
    this.state = null;
    this.heard_ms = 0; // of this page's clock, when what is shown was new
    this.failure = "";
    this.questions = Promise.resolve();
    this.answer = () => {}; // of the question that is open
  }

  redraw() {
    this.edges.redraw();
    this.profit.redraw();
  }

  async begin() {
    $("title").textContent = "Live";
    $("live-link").hidden = false;
    choose("live");
    this.listen();
    setInterval(() => this.showAge(), 250);
    for (;;) {
      await this.look();
      await new Promise((done) => { setTimeout(done, LOOK_MS); this.again = done; });
    }
  }

  async look() {
    try {
      const state = await live.look(this.pair);
      this.failure = "";
      this.renderCommands(state.commands);
      if (state.state === "none") note(state.error || "asking the monitor ...");
      else await this.render(state);
    } catch (error) {
      this.failure = error.message;
      if (!this.state) note(error.message);
      if (error.message.startsWith("left, right")) this.pair = null; // another run, with other books
    }
    this.showAge();
  }

  async render(state) {
    note("");
    const isOther = this.state?.run !== state.run;
    this.state = state;
    this.pair = state.pair;
    this.heard_ms = performance.now() - state.age_s * 1e3;
    if (isOther || this.names !== String(state.instruments)) {
      this.names = String(state.instruments);
      offerBooks(state.instruments, (pair) => this.choose(pair));
      this.offerParameters(state.parameters);
      this.columns = null;
    }
    $("title").textContent = state.name;
    document.title = `${state.name} live - Crosswire console`;
    $("kind").textContent = `run ${state.run}`;
    $("warnings").replaceChildren(...state.warnings.map((text) => show.element("li", {}, `warning: ${text}`)));
    this.renderState(state);
    showBooks(this.pair, state);
    $("positions").replaceChildren(...show.positions(state.positions, state.profit, show.WORKING));
    $("open").replaceChildren(show.openOrders(state.open_orders, "number"), state.more_orders ? `and ${state.more_orders} more` : "");
    $("latency").replaceChildren(show.stages(state.latencies));
    $("best").replaceChildren(show.bestEdges(state.best));
    $("health").replaceChildren(show.health(state.health));
    $("limits").replaceChildren(show.limits(state.limits));
    $("log").replaceChildren(show.log(state.log));
    this.parameters = state.parameters;
    this.showRange();
    document.body.dataset.run = state.run;
    await this.drawCharts();
  }

  renderState(state) {
    $("trading").textContent = state.is_alive ? state.trading : "has ended";
    $("trading").className = `state ${state.is_alive ? state.trading.replace(" ", "-") : "ended"}`;
    $("reason").textContent = [state.why && `(${state.why})`, state.flatten && `flatten: ${state.flatten}`].filter(Boolean).join(" ");
    $("as-of").textContent = `as of ${state.as_of} UTC`;
    $("counts").replaceChildren(...Object.entries(state.counts).map(([name, value]) =>
      show.element("span", { class: name === "alarms" && value !== "0" ? "down" : null }, `${name} ${value}`)));
    const said = `${$("trading").textContent} ${$("reason").textContent}`.trim();
    if ($("said").textContent !== said) $("said").textContent = said;
  }

  // Said at once: no number that is not of now looks as if it were.
  showAge() {
    if (!this.state) return;
    const age_s = (performance.now() - this.heard_ms) / 1e3;
    const isStale = Boolean(this.failure) || this.state.state === "stale" || (this.state.state === "live" && age_s > STALE_S);
    const isOver = this.state.state === "ended" && !this.failure;
    document.body.classList.toggle("stale", isStale || isOver);
    $("stale").hidden = !isStale && !isOver;
    $("stale-age").hidden = !isStale;
    const why = this.failure || this.state.error || "the monitor does not answer";
    const text = isOver ? "The run has ended. This is how it ended."
      : `Not live: ${why}. What is shown is of ${this.state.as_of} UTC.`;
    if (!$("stale").hidden && $("stale").textContent !== text) $("stale").textContent = text;
    $("stale-age").textContent = `${count(Math.floor(age_s))} s old`;
  }

  async drawCharts() {
    const after_ms = this.columns ? Math.floor(this.columns[0].at(-1) * 1e3) + 1 : 0;
    const told = await live.series(this.pair, after_ms);
    const lines = told.currencies.map((unit, place) => ({ label: unit, colour: COLOURS[place % COLOURS.length], unit, digits: 4 }));
    const isNew = !this.columns || String(this.currencies) !== String(told.currencies);
    if (isNew && this.columns) {
      this.columns = null;
      return this.drawCharts();
    }
    if (!told.times_s.length) return undefined;
    const more = [told.times_s, ...told.bps, ...told.profit];
    this.currencies = told.currencies;
    this.columns = this.columns ? this.columns.map((column, place) => [...column, ...more[place]].slice(-POINTS_MAX)) : more;
    const [times, edges, profit] = [this.columns[0], this.columns.slice(1, 3), this.columns.slice(3)];
    if (isNew) this.edges.draw([times, ...edges], edgeLines(this.pair.map((each) => this.state.instruments[each])));
    else this.edges.extend([times, ...edges]);
    if (!lines.length) return undefined;
    if (isNew) this.profit.draw([times, ...profit], lines);
    else this.profit.extend([times, ...profit]);
    return undefined;
  }

  choose(pair) {
    this.pair = pair;
    this.columns = null;
    this.again?.();
  }

  // ---- commands

  renderCommands(commands) {
    this.commands = commands;
    const offered = commands.filter((each) => each.key);
    if (!$("commands").children.length) {
      $("commands").replaceChildren(...offered.map((each) => show.element("button", { type: "button", "data-command": each.name,
        "aria-keyshortcuts": each.key, title: each.said, on: () => this.ask(each) }, `${each.label} `, show.element("kbd", {}, each.key))));
      $("live-keys").prepend(...offered.flatMap((each) =>
        [show.element("dt", {}, show.element("kbd", {}, each.key)), show.element("dd", {}, `${each.label}: ${each.said}`)]));
    }
    for (const each of commands) {
      const button = each.key ? document.querySelector(`[data-command="${each.name}"]`) : $("set").querySelector("button");
      button.disabled = Boolean(each.why);
      button.title = each.why || each.said;
    }
    const refused = new Map();
    for (const each of commands.filter((one) => one.why)) refused.set(each.why, [...(refused.get(each.why) ?? []), each.label]);
    $("refusals").textContent = [...refused].map(([why, labels]) => `${labels.join(", ")}: ${why}`).join("; ");
  }

  // Ask whether a command is meant, then the monitor; what that wants confirmed is asked in its own words.
  async ask(offered) {
    if (offered.why || !(await this.question(`${offered.label}: ${offered.said}?`))) return;
    await this.send(() => live.command(offered.name));
  }

  async send(command) {
    this.tell("asking ...");
    try {
      let told = await command();
      if (told.to_confirm) {
        const isMeant = await this.question(`this will ${told.to_confirm}`, told.valid_s);
        told = isMeant ? await live.confirm(told.token) : { done: "not confirmed, nothing is done" };
      }
      this.tell(told.done);
    } catch (error) {
      this.tell(error.message, true);
    }
    this.again?.();
  }

  tell(text, isBad = false) {
    $("told").hidden = false;
    $("told").textContent = text;
    $("told").classList.toggle("bad", isBad);
  }

  // One question at a time: what is to be confirmed never takes the place of another under somebody's finger.
  question(text, valid_s = 0) {
    const asked = this.questions.then(() => this.show(text, valid_s));
    this.questions = asked;
    return asked;
  }

  show(text, valid_s) {
    $("question-text").textContent = text;
    $("question").showModal();
    return new Promise((answered) => {
      const late = valid_s ? setTimeout(() => this.answer(false), valid_s * 1e3) : 0;
      this.answer = (isYes) => {
        clearTimeout(late);
        this.answer = () => {};
        $("question").close();
        answered(isYes);
      };
    });
  }

  offerParameters(parameters) {
    $("set-name").replaceChildren(...parameters.map((each) => show.element("option", { value: each.name }, each.name)));
    this.parameters = parameters;
  }

  showRange() {
    const chosen = this.parameters.find((each) => each.name === $("set-name").value);
    $("set-range").textContent = chosen ? `now ${chosen.value}; ${chosen.minimum} to ${chosen.maximum} ${chosen.unit}` : "";
  }

  listen() {
    $("question-yes").addEventListener("click", () => this.answer(true));
    $("question-no").addEventListener("click", () => this.answer(false));
    $("question").addEventListener("cancel", () => this.answer(false));
    $("set-name").addEventListener("change", () => this.showRange());
    $("set").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(() => live.command("set", { [$("set-name").value]: $("set-value").value.trim() }));
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("help").open) return;
    if ($("question").open) {
      if (event.key === "y" || event.key === "n") this.answer(event.key === "y");
      return;
    }
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    const offered = this.commands?.find((each) => each.key === event.key);
    if (!offered) return;
    event.preventDefault();
    this.ask(offered);
  }
}
