// What the server is asked. Times are nanoseconds, which a JavaScript number can't hold: they stay text or BigInt.

export class Failure extends Error {}

async function ask(path, wanted = {}) {
  const query = new URLSearchParams(Object.entries(wanted)).toString();
  let response;
  try {
    response = await fetch(path + (query ? `?${query}` : ""), { credentials: "same-origin" });
  } catch {
    throw new Failure("the console does not answer: is crosswire console still running?");
  }
  if (response.status === 401) throw new Failure("open the address that crosswire console printed: it has the token");
  const told = await response.json();
  if (!response.ok) throw new Failure(told.error ?? `the console answered ${response.status}`);
  return told;
}

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
