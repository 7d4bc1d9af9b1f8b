// What every page has: a note, the choice of colours, the keys' page, and which parts are its own.

import { book, edges, element } from "./show.js";

export const $ = (id) => document.getElementById(id);
export const count = (number) => number.toLocaleString("en-US");

export function note(text) {
  $("note").hidden = !text;
  $("note").textContent = text ?? "";
}

function theme(wanted) {
  const isDark = wanted ? wanted === "dark" : document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (wanted) {
    document.documentElement.dataset.theme = wanted;
    localStorage.setItem("theme", wanted);
  }
  $("theme").setAttribute("aria-pressed", String(isDark));
  return isDark;
}

// Show the parts of one kind of page: "run" or "live".
export function choose(kind) {
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== kind;
  $("run").hidden = false;
}

// Offer the books of a run in both places.
export function offerBooks(names, onChange) {
  for (const id of ["left", "right"]) {
    $(id).replaceChildren(...names.map((name, place) => element("option", { value: place }, name)));
    $(id).onchange = () => onChange([Number($("left").value), Number($("right").value)]);
  }
}

// Show two books and the edges between them.
export function showBooks(pair, state) {
  ["left", "right"].forEach((id, place) => {
    $(id).value = pair[place];
    $(`book-${id}`).replaceChildren(book(state.books[place]));
  });
  $("edges").replaceChildren(...edges(state.edges));
}

export function listenAlways() {
  let page = null;
  const turnOver = () => { theme(theme() ? "light" : "dark"); page?.redraw(); };
  $("theme").addEventListener("click", turnOver);
  $("help-open").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT"].includes(event.target.tagName)) return;
    if (event.key === "t") turnOver();
    if (event.key === "?" && !$("help").open) $("help").showModal();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { theme(); page?.redraw(); });
  theme();
  return (made) => { page = made; };
}
