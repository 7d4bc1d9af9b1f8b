// What the server is asked. Times are nanoseconds, which a JavaScript number can't hold: they stay text or BigInt.

const PATIENCE_MS = 120_000; // a run may have to be made again for an answer
const LOOK_PATIENCE_MS = 3_000; // a live run is shown at once, or not at all

export class Failure extends Error {}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch {
    throw new Failure("the console does not answer: is crosswire console still running?");
  }
  if (response.status === 401) throw new Failure("open the address that crosswire console printed: it has the token");
  const told = await response.json();
  if (!response.ok) throw new Failure(told.error ?? `the console answered ${response.status}`);
  return told;
}

async function ask(path, wanted = {}, options = {}) {
  const query = new URLSearchParams(Object.entries(wanted)).toString();
  return answered(path + (query ? `?${query}` : ""), options);
}

const post = (path, wanted) => answered(path, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted) });

export const runs = () => ask("/api/runs");

export function run(name) {
  const path = `/api/runs/${name.split("/").map(encodeURIComponent).join("/")}`;
  return {
    facts: () => ask(path),
    at: (turn, [left, right]) => ask(`${path}/at`, { turn, left, right }),
    atTime: (time_ns, [left, right]) => ask(`${path}/at`, { time_ns, left, right }),
    turn: (wanted) => ask(`${path}/turn`, wanted),
    edges: ([left, right], from_ns, to_ns) => ask(`${path}/edges`, { left, right, from_ns, to_ns }),
  };
}

const soon = () => ({ signal: AbortSignal.timeout(LOOK_PATIENCE_MS) });
const books = (pair) => (pair ? { left: pair[0], right: pair[1] } : {});
export const live = {
  look: (pair) => ask("/api/live", books(pair), soon()),
  series: (pair, after_ms) => ask("/api/live/series", { ...books(pair), after_ms }, soon()),
  command: (command, values = {}) => post("/api/live/command", { command, values }),
  confirm: (token) => post("/api/live/confirm", { token }),
};
