/**
 * A table of any number of rows, as in the grid pattern of the ARIA Authoring Practices.
 *
 * Only the rows in view are elements. They are used again for other rows as the table scrolls, so
 * that a table of eight thousand rows costs what one of fifty does.
 */

import { el } from "./dom.js";

/** Rows above and below those in view, so that a quick scroll shows no gap. */
const SPARE_ROWS = 6;
const MAX_ROWS_IN_VIEW = 80;

/**
 * @param host - A scrolling element, which the table is put into.
 * @param options - {label, columns, open, key}. `columns` are {name, title, hint, className,
 *   sortable, render}: `render(cell, row)` fills a cell. `open(row)` opens a row; `key(row, name)`
 *   is called with the name of a key that is pressed on a row and returns true if it is used.
 * @param onSort - Is called with the name of a column whose heading was pressed.
 * @returns {show, refresh}: `show(rows, sort, keepPlace)` shows other rows, from the first or, if they
 *   are the same, from where they were; `refresh()` shows the same again.
 */
export function grid(host, { label, columns, open, key }, onSort) {
  const heads = columns.map((column) => heading(column, onSort));
  const [above, body, below] = [spacer(columns), el("tbody"), spacer(columns)];
  const table = el(
    "table",
    { role: "grid", "aria-label": label, "aria-colcount": String(columns.length) },
    el("thead", {}, el("tr", { "aria-rowindex": "1" }, ...heads)),
    above,
    body,
    below,
  );
  host.replaceChildren(table);
  let rows = [];
  let active = 0;
  let first = 0;
  let height = 0;
  let waiting = false;
  let top = 0;
  /** Whether rows in view may be other ones than those that are drawn. */
  let changed = true;

  function measure() {
    const line = body.rows[0];
    height = line?.getBoundingClientRect().height || height;
  }

  function render() {
    waiting = false;
    if (!host.clientHeight) return;
    top = host.scrollTop;
    if (!height) {
      draw(0, Math.min(rows.length, 1));
      measure();
      if (!height) return;
    }
    // The box is no higher than its rows.
    host.style.setProperty("--rows", `${rows.length * height + table.tHead.offsetHeight}px`);
    const inView = Math.min(Math.ceil(host.clientHeight / height) + 2 * SPARE_ROWS, MAX_ROWS_IN_VIEW);
    const start = Math.max(0, Math.floor(host.scrollTop / height) - SPARE_ROWS);
    draw(Math.max(0, Math.min(start, rows.length - inView)), Math.min(inView, rows.length));
  }

  function draw(start, count) {
    const focused = body.contains(document.activeElement) && start !== first;
    const kept = body.rows.length === count ? count - Math.abs(start - first) : 0;
    if (!changed && kept > 0) roll(start, count - kept);
    else {
      while (body.rows.length > count) body.rows[body.rows.length - 1].remove();
      while (body.rows.length < count) body.append(emptyRow(columns));
      for (let place = 0; place < count; place++) fill(body.rows[place], start + place);
    }
    [first, changed] = [start, false];
    above.firstChild.style.height = `${start * height}px`;
    below.firstChild.style.height = `${(rows.length - start - count) * height}px`;
    above.hidden = !start;
    below.hidden = start + count >= rows.length;
    // The element that had the focus may be another row's by now.
    if (focused) focusActive({ preventScroll: true });
  }

  /** Use the rows that have left the view again on its other side; the others stay as they are. */
  function roll(start, count) {
    const down = start > first;
    for (let step = 1; step <= count; step++) {
      const line = down ? body.rows[0] : body.rows[body.rows.length - 1];
      if (down) body.append(line);
      else body.prepend(line);
      fill(line, down ? first + body.rows.length - 1 + step : first - step);
    }
  }

  function fill(line, place) {
    line.setAttribute("aria-rowindex", String(place + 2));
    line.dataset.place = String(place);
    columns.forEach((column, at) => column.render(line.cells[at], rows[place]));
    const stop = place === active ? 0 : -1;
    for (const node of line.querySelectorAll("a, button")) if (node.tabIndex !== stop) node.tabIndex = stop;
  }

  const lineOf = (place) => (place >= first ? body.rows[place - first] : undefined);

  function focusActive(options) {
    const link = lineOf(active)?.querySelector("a");
    if (link) link.focus(options);
    else host.focus({ preventScroll: true });
  }

  function moveTo(place) {
    const before = lineOf(active);
    active = Math.max(0, Math.min(place, rows.length - 1));
    if (before) fill(before, Number(before.dataset.place));
    const [upper, bottom] = [active * height, (active + 1) * height];
    const head = table.tHead.offsetHeight;
    if (upper < host.scrollTop) host.scrollTop = upper;
    else if (bottom + head > host.scrollTop + host.clientHeight) host.scrollTop = bottom + head - host.clientHeight;
    render();
    const line = lineOf(active);
    if (line) fill(line, active);
    focusActive({ preventScroll: true });
  }

  const page = () => Math.max(1, Math.floor((host.clientHeight - table.tHead.offsetHeight) / height) - 1);

  host.addEventListener("keydown", (event) => {
    const pressed = event.target.closest?.("thead");
    if (pressed || event.ctrlKey || event.metaKey || event.altKey || !rows.length) return;
    const place = {
      ArrowDown: () => active + 1,
      ArrowUp: () => active - 1,
      PageDown: () => active + page(),
      PageUp: () => active - page(),
      Home: () => 0,
      End: () => rows.length - 1,
    }[event.key];
    if (place) moveTo(place());
    else if (event.key === "Enter" && event.target === host) open(rows[active]);
    else if (!key(rows[active], event.key)) return;
    event.preventDefault();
  });
  host.addEventListener(
    "scroll",
    () => {
      if (!waiting) requestAnimationFrame(render);
      waiting = true;
    },
    { passive: true },
  );
  body.addEventListener("focusin", ({ target }) => {
    const place = Number(target.closest("tr").dataset.place);
    if (place === active) return;
    const before = lineOf(active);
    active = place;
    for (const line of [before, lineOf(active)]) if (line) fill(line, Number(line.dataset.place));
  });
  body.addEventListener("click", (event) => {
    if (event.target.closest("a, button")) return;
    open(rows[Number(event.target.closest("tr").dataset.place)]);
  });
  new ResizeObserver(() => {
    measure();
    if (rows.length) render();
  }).observe(host);

  return {
    show(others, sort, keepPlace) {
      [rows, changed] = [others, true];
      if (!keepPlace) [active, top] = [0, 0];
      host.scrollTop = top;
      table.setAttribute("aria-rowcount", String(rows.length + 1));
      heads.forEach((head, place) => mark(head, columns[place].name, sort));
      render();
    },
    refresh() {
      changed = true;
      if (rows.length) render();
    },
  };
}

function heading({ name, title, hint, className, sortable = true }, onSort) {
  const content = sortable
    ? el("button", { type: "button", onclick: () => onSort(name) }, title, el("span", { class: "arrow", "aria-hidden": "true" }))
    : el("span", { class: "hidden" }, title);
  return el("th", { scope: "col", class: className, title: hint }, content);
}

/** Mark the column that the rows are sorted by. */
function mark(head, name, sort) {
  const direction = sort.column === name ? (sort.descending ? "descending" : "ascending") : null;
  if (direction) head.setAttribute("aria-sort", direction);
  else head.removeAttribute("aria-sort");
}

/** Room for the rows that are not in view. */
function spacer(columns) {
  const line = el("tr", {}, el("td", { colspan: String(columns.length) }));
  return el("tbody", { class: "spacer", "aria-hidden": "true", hidden: true }, line);
}

function emptyRow(columns) {
  return el("tr", {}, ...columns.map(({ className, heads }) => el(heads ? "th" : "td", { class: className, scope: heads ? "row" : null })));
}
