// What was known at a turn, as tables. Every figure comes as text from the server, exact; nothing is reckoned here.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") made.addEventListener("click", value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// columns: [heading, key or function of the row, classes]; a cell may be an element.
export function table(caption, columns, rows, rowClass = () => "", empty = "none") {
  if (!rows.length) return element("p", { class: "quiet" }, empty);
  const cell = (row, [, key, classes]) => {
    const value = typeof key === "function" ? key(row) : row[key];
    const extra = key === "side" ? ` ${row.side}` : "";
    return element("td", { class: (classes ?? "") + extra }, value ?? "");
  };
  return element("table", {}, element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {}, ...columns.map(([heading, , classes]) =>
      element("th", { scope: "col", class: classes }, heading)))),
    element("tbody", {}, ...rows.map((row) =>
      element("tr", { class: rowClass(row) }, ...columns.map((column) => cell(row, column))))));
}

export function book(told) {
  if (!told.valid) return element("p", { class: "quiet" }, "Not proven: nothing is traded on it.");
  const rows = Array.from({ length: Math.max(told.bids.length, told.asks.length) }, (_, place) => ({
    bid: told.bids[place]?.[0], bidSize: told.bids[place]?.[1], ask: told.asks[place]?.[0], askSize: told.asks[place]?.[1],
  }));
  return element("div", {}, element("p", { class: "quiet" }, `${told.quote}, sizes in ${told.size_currency}${told.heard && `; ${told.heard}`}`),
    table(`Book of ${told.name}, prices in ${told.quote}, sizes in ${told.size_currency}`, [
      ["Size", "bidSize", "n"], ["Bid", "bid", "n buy"], ["Ask", "ask", "n sell"], ["Size", "askSize", "n"],
    ], rows));
}

export function edges(told) {
  return told.map((edge) => {
    const way = edge.edge === "" ? "" : edge.edge_e9 > 0 ? "up" : "down";
    return element("div", {}, element("span", { class: "quiet" }, `buy ${edge.buy}`),
      element("span", { class: "quiet" }, `sell ${edge.sell}`),
      element("b", { class: way }, edge.edge === "" ? "no edge known" : edge.edge),
      element("span", { class: "quiet" }, edge.edge === "" ? "" : `${edge.quote} for 1 ${edge.base}`),
      element("span", { class: "quiet" }, edge.edge === "" ? "" : `${edge.bps} bps ${edge.fees ?? ""}`));
  });
}

// What stands beside a position: of a finished run, of a live one.
const fees = ["Fees", (row) => `${row.fees} ${row.currency}`, "n roomy"];
export const HELD = [["Cash", (row) => `${row.cash} ${row.currency}`, "n roomy"], fees];
export const WORKING = [["Open", "open", "n wide"], ["Mark", "mark", "n roomy"], fees];

export function positions(told, profit, beside) {
  return [table("Positions", [
    ["Instrument", "name"], ["Position", (row) => `${row.position} ${row.size_currency}`, "n"], ...beside,
    ["P&L", (row) => `${row.profit} ${row.currency}`, "n"],
  ], told), element("p", { class: "total" }, element("span", { class: "quiet" }, "P&L in all"),
    ...profit.map((each) => element("b", { class: "figure" }, `${each.profit} ${each.currency}`))),
    ...[...new Set(told.flatMap((row) => row.warnings))].map((text) => element("p", { class: "note" }, `warning: ${text}`))];
}

const go = (kind, number, seek) => element("button", { type: "button", class: "link", on: () => seek(kind, number),
  "aria-label": `Go to ${kind} ${number}` }, String(number));
// To the microsecond; where there is little room to the millisecond.
const clock = (time) => element("span", {}, time.slice(11, 23), element("span", { class: "wide" }, time.slice(23, 26)));
const price = (row) => `${row.price} ${row.quote}`;
const size = (row) => `${row.size} ${row.size_currency}`;

export const goTo = (kind, seek) => (row) => go(kind, row.number, seek);

export const openOrders = (told, number) => table("Open orders", [
  ["No.", number], ["Instrument", "name"], ["Side", "side"], ["Price", price, "n"],
  ["Size", size, "n"], ["Filled", (row) => `${row.filled} ${row.size_currency}`, "n wide"], ["Kind", "time_in_force", "wide"], ["State", "state"],
  ["Ahead", "ahead", "n"], ["Age", "age", "n wide"],
], told);

export const orders = (told, seek) => table("Orders", [
  ["No.", goTo("order", seek)], ["Sent, UTC", (row) => clock(row.created), "keep"],
  ["Instrument", "name", "wide"], ["Side", "side"], ["Price", price, "n"], ["Size", size, "n"],
  ["Filled", (row) => `${row.filled} ${row.size_currency}`, "n wide"], ["Became", "outcome"], ["To ack", "round_trip", "n wide"],
], told, (row) => (row.is_over ? "" : "now"));

export const opportunities = (told, seek) => table("Opportunities", [
  ["No.", goTo("opportunity", seek)], ["Began, UTC", (row) => clock(row.start), "keep"],
  ["Lasted", "lasted", "n"], ["Buy", (row) => `${row.buy} at ${row.buy_price}`, "wide"],
  ["Sell", (row) => `${row.sell} at ${row.sell_price}`, "wide"],
  ["First edge", (row) => `${row.first_edge} ${row.quote}`, "n"], ["Peak", (row) => `${row.peak_edge} ${row.quote}`, "n wide"],
  ["Captured", (row) => `${row.captured} ${row.base}`, "n wide"], ["Not traded for", "blocked_by", "wide"],
], told, (row) => (row.is_open ? "now" : ""));

export const latencies = (told) => table("Latency of this turn", [["What", "name"], ["Time", "value", "n keep"]], told,
  undefined, "Nothing was timed in this turn.");

export const journal = (told) => told.map((line) =>
  element("li", { class: line.is_now ? "now" : null }, line.text));

// ---- of a live run

export const bestEdges = (told) => table("Edges", [["Buy", "buy"], ["Sell", "sell"],
  ["Edge", (row) => `${row.bps} bps`, "n"], ["", "fees", "wide"]], told);

export const stages = (told) => table("Latency by stage", [["Stage", "name"], ["Count", "count", "n"], ["p50", "p50", "n"],
  ["p99", "p99", "n"], ["Most", "most", "n"]], told, undefined, "Nothing was timed yet.");

export const health = (told) => table("Sessions and feeds", [["Venue", "venue"], ["Session", "session"],
  ["Frames", "frames", "n wide"], ["Drops", "drops", "n"], ["Gaps", "gaps", "n"], ["Books proven", "proven", "n"], ["", "text"]],
told, (row) => (row.is_well ? "" : "ill"));

export const limits = (told) => table("Limits", [["Limit", "name"], ["Used", "used", "n"], ["Limit", "value", "n"],
  ["", "unit"]], told);

export const log = (told) => table("Commands given", [["UTC", "time", "keep"], ["Client", "client"], ["Command", "request"],
  ["With", "detail", "wide"], ["Outcome", "outcome"], ["Answer", "text", "wide"]], told,
(row) => (row.outcome === "done" || row.outcome === "to confirm" ? "" : "ill"));
