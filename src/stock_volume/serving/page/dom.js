/** Elements, made of text only: what comes from the server is never parsed as HTML. */

export const byId = (id) => document.getElementById(id);

/** Make an element. Children are nodes or text; an attribute of null or false is left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Announce a change to screen readers, once. */
export function say(text) {
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

/** Show the parts of the page that belong to a view, and hide the others. */
export function show(view) {
  document.body.dataset.shown = view;
  for (const part of document.querySelectorAll("[data-view]")) {
    part.hidden = !part.dataset.view.split(" ").includes(view);
  }
  // A button that has led elsewhere is gone: the keyboard goes on from what it led to.
  if (document.activeElement?.closest("[hidden]")) byId("main").focus({ preventScroll: true });
}

/**
 * A table inside <details>: what a chart shows, for those who cannot see it.
 * Rows are made when it is opened first; each is a list of cells, the first of them its heading.
 */
export function tableDetails(summary, columns, rows) {
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": summary });
  const details = el("details", {}, el("summary", {}, summary), scroll);
  details.addEventListener("toggle", () => {
    if (details.open && !scroll.firstChild) scroll.append(table(columns, rows));
  });
  return details;
}

function table(columns, rows) {
  const heads = columns.map((column) => el("th", { scope: "col" }, column));
  const lines = rows.map(([head, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, head), ...cells.map((cell) => el("td", {}, cell))),
  );
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...lines));
}

/** A list of terms and what is said of each; pairs whose second is null are left out. */
export function definitions(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  return el(
    "dl",
    { class: "facts" },
    ...known.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))),
  );
}
