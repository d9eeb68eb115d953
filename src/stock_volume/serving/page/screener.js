/** The start page: all symbols with their forecasts, sorted and filtered. */

import { allForecasts } from "./api.js";
import { addressOfSymbol, changeParams, readAddress } from "./address.js";
import { downloadCsv } from "./csv.js";
import { byId, el, say } from "./dom.js";
import { change, compact, dayLabel, full, longDate, percent, shortDate, shortName } from "./format.js";
import { grid } from "./grid.js";
import { isBusy, ratioOf, unusualness, unusualnessOf, widthOf } from "./outlook.js";
import { isWatched, onWatchlist, toggleWatched } from "./watchlist.js";

const FRESH_MS = 300_000;
const START = { column: "dollars", descending: true };
const NOTHING = "\u2013";

/** Controls by the parameter of the address that keeps them. */
const CONTROLS = {
  filter: "screen-filter",
  kind: "screen-kind",
  liquidity: "screen-liquidity",
  busy: "screen-busy",
  event: "screen-event",
  watched: "screen-watched",
};

const COLUMNS = [
  { name: "watched", title: "Watch", className: "star", sortable: false, render: renderStar },
  { name: "symbol", title: "Symbol", className: "title", heads: true, ascends: true, render: renderSymbol },
  {
    name: "forecast",
    title: "Forecast",
    hint: "Shares in the next session",
    value: (row) => row.forecast,
    render: textOf((row) => (row.forecast === null ? NOTHING : compact(row.forecast)), forecastTitle),
  },
  {
    name: "change",
    title: "To mean",
    hint: "Forecast against the mean volume of 30 calendar days",
    value: ratioOf,
    render: textOf((row) => change(ratioOf(row)) ?? NOTHING),
  },
  {
    name: "interval",
    title: "Interval",
    className: "interval",
    hint: "Four cases in five fall in it; sorted by its width",
    value: widthOf,
    render: textOf(({ quantiles }) => (quantiles ? `${compact(quantiles.q10)} to ${compact(quantiles.q90)}` : NOTHING)),
  },
  {
    name: "unusual",
    title: "Unusual",
    hint: "Forecast among the volumes of the last 60 sessions",
    value: unusualnessOf,
    className: "unusual",
    render: renderUnusual,
  },
  {
    name: "error",
    title: "Typical error",
    hint: "Median error of its forecasts in the backtest, in per cent of the volume",
    value: (row) => row.mdape,
    ascends: true,
    className: "error-column",
    render: textOf((row) => (row.mdape === null ? NOTHING : percent(row.mdape))),
  },
  {
    name: "dollars",
    title: "$ a day",
    hint: "Dollars traded a day, mean of the last 22 bars",
    value: (row) => row.dollar_volume,
    render: textOf((row) => (row.dollar_volume === null ? NOTHING : `$${compact(row.dollar_volume)}`)),
  },
  {
    name: "event",
    title: "Next event",
    hint: "Next known release of earnings",
    value: (row) => row.event?.date ?? null,
    ascends: true,
    className: "event",
    render: textOf(({ event }) => (event ? eventLabel(event) : NOTHING), ({ event }) => event?.text ?? ""),
  },
];

let all = [];
let shown = [];
let loadedAt = 0;
let usual = null;
let sort = START;
/** Parameters of the address when the table was shown last: who comes back finds the same place. */
let seen = null;

const table = grid(
  byId("screen"),
  { label: "Forecasts of all symbols", columns: COLUMNS, open: ({ symbol }) => open(symbol), key: useKey },
  sortBy,
);

for (const id of Object.values(CONTROLS)) byId(id).addEventListener("input", filtered);
byId("screen-clear").addEventListener("click", clearFilters);
byId("screen-csv").addEventListener("click", download);
onWatchlist(() => {
  if (!byId("screen").clientHeight) return;
  if (byId(CONTROLS.watched).checked) refilter();
  else table.refresh();
});

function open(symbol) {
  location.hash = addressOfSymbol(symbol);
}

/**
 * Show the table as the address says. The list is asked for again when it has got old.
 *
 * @param params - Parameters of the address.
 */
export async function showScreener(params, signal) {
  const isNew = await load(signal);
  for (const [name, id] of Object.entries(CONTROLS)) setControl(byId(id), params.get(name));
  sort = sortOf(params.get("sort"));
  const isSame = !isNew && String(params) === seen;
  return () => refilter(isSame);
}

/** Give a symbol's row of the list. */
export async function rowOf(symbol, signal) {
  await load(signal);
  return all.find((row) => row.symbol === symbol);
}

/** Load the list, unless that was done of late. Returns whether it has been loaded now. */
async function load(signal) {
  if (all.length && Date.now() - loadedAt < FRESH_MS) return false;
  const { symbols } = await allForecasts(signal);
  all = symbols.map(searchable);
  loadedAt = Date.now();
  usual = mostFrequent(all.map((row) => row.session).filter(Boolean));
  return true;
}

/** What the title says below it. */
export function describeScreener() {
  if (usual === null) return "No symbol can be forecast.";
  const stale = all.some((row) => row.session === usual && row.stale);
  return `Next session: ${longDate(usual)}${stale ? ", out of date" : ""}`;
}

const searchable = (row) => ({ ...row, text: `${row.symbol} ${row.security_name ?? ""}`.toLowerCase() });

function mostFrequent(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;
}

function setControl(control, value) {
  if (control.type === "checkbox") control.checked = value === "1";
  else control.value = value ?? "";
  // A value that is no option's leaves a select empty.
  if (control.tagName === "SELECT" && control.selectedIndex < 0) control.value = "";
}

const controlValue = (control) => (control.type === "checkbox" ? (control.checked ? "1" : "") : control.value.trim());

function sortOf(text) {
  const name = text?.replace(/^-/, "");
  const known = COLUMNS.some((column) => column.name === name && column.sortable !== false);
  return known ? { column: name, descending: text.startsWith("-") } : START;
}

function sortBy(name) {
  const first = !COLUMNS.find((column) => column.name === name).ascends;
  sort = { column: name, descending: sort.column === name ? !sort.descending : first };
  const isStart = sort.column === START.column && sort.descending === START.descending;
  changeParams({ sort: isStart ? null : `${sort.descending ? "-" : ""}${name}` });
  refilter();
}

function filtered() {
  changeParams(Object.fromEntries(Object.entries(CONTROLS).map(([name, id]) => [name, controlValue(byId(id))])));
  refilter();
}

function clearFilters() {
  for (const id of Object.values(CONTROLS)) setControl(byId(id), null);
  filtered();
  byId(CONTROLS.filter).focus();
}

function refilter(keepPlace = false) {
  const value = (name) => controlValue(byId(CONTROLS[name]));
  const words = value("filter").toLowerCase().split(/\s+/).filter(Boolean);
  const least = Number(value("liquidity"));
  const tests = [
    words.length && ((row) => words.every((word) => row.text.includes(word))),
    value("kind") && ((row) => row.etf === (value("kind") === "etf")),
    least && ((row) => row.dollar_volume >= least),
    value("busy") && isBusy,
    value("event") && (({ event }) => event?.reaction),
    value("watched") && (({ symbol }) => isWatched(symbol)),
  ].filter(Boolean);
  shown = sorted(all.filter((row) => tests.every((test) => test(row))));
  table.show(shown, sort, keepPlace);
  seen = String(readAddress().params);
  const counted = shown.length === all.length ? full(all.length) : `${full(shown.length)} of ${full(all.length)}`;
  byId("screen-count").textContent = `${counted} symbols`;
  byId("screen-empty").hidden = shown.length > 0;
  byId("screen-clear").hidden = !tests.length;
  const { title } = COLUMNS.find((column) => column.name === sort.column);
  say(`${counted} symbols, by ${title.toLowerCase()}${sort.descending ? ", descending" : ""}.`);
}

/** Rows in order; what is unknown comes last either way. */
function sorted(rows) {
  const { column, descending } = sort;
  const sign = descending ? -1 : 1;
  if (column === "symbol") return rows.toSorted((a, b) => sign * (a.symbol < b.symbol ? -1 : 1));
  const { value } = COLUMNS.find(({ name }) => name === column);
  const keyed = rows.map((row) => [value(row), row]);
  const order = ([a], [b]) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (a < b ? -1 : 1));
  return keyed.sort(order).map(([, row]) => row);
}

function useKey({ symbol }, key) {
  if (key !== "w") return false;
  toggleWatched(symbol);
  say(`${symbol} is ${isWatched(symbol) ? "on" : "off"} the watchlist.`);
  return true;
}

function renderStar(cell, { symbol }) {
  if (!cell.firstChild) {
    const press = () => toggleWatched(cell.dataset.symbol);
    cell.append(el("button", { type: "button", onclick: press }));
  }
  const watched = isWatched(symbol);
  cell.dataset.symbol = symbol;
  const [button] = cell.children;
  button.textContent = watched ? "\u2605" : "\u2606";
  button.setAttribute("aria-pressed", String(watched));
  button.setAttribute("aria-label", `Watch ${symbol}`);
}

function renderSymbol(cell, { symbol, security_name: name, etf }) {
  if (!cell.firstChild) {
    const link = el("a", {}, el("span", { class: "symbol" }), " ", el("span", { class: "name" }));
    cell.append(el("div", { class: "titled" }, link, " ", el("span", { class: "tag" }, "ETF")));
  }
  const [link, tag] = cell.firstChild.children;
  link.href = addressOfSymbol(symbol);
  link.children[0].textContent = symbol;
  link.children[1].textContent = shortName(name);
  cell.title = name ?? "";
  tag.hidden = !etf;
}

function renderUnusual(cell, row) {
  if (!cell.firstChild) cell.append(el("span", { class: "among" }), el("span", { class: "tilt", "aria-hidden": "true" }, el("span")));
  const [words, tilt] = cell.children;
  const value = unusualnessOf(row);
  words.textContent = unusualness(row) || NOTHING;
  tilt.hidden = value === null;
  cell.classList.toggle("busy", isBusy(row));
  const { style } = tilt.firstChild;
  style.width = `${50 * Math.abs(value ?? 0)}%`;
  style.left = `${value < 0 ? 50 + 50 * value : 50}%`;
}

/** A renderer of text, with a longer text on hover. */
function textOf(text, title = null) {
  return (cell, row) => {
    cell.textContent = text(row);
    if (title) cell.title = title(row);
  };
}

function forecastTitle({ forecast, session, stale }) {
  if (forecast === null) return "It cannot be forecast from its latest bar";
  return `${full(forecast)} shares on ${shortDate(session)}${stale ? ", out of date" : ""}`;
}

function eventLabel({ date, reaction, sessions_until: until }) {
  const when = reaction ? "this session" : `in ${until} session${until === 1 ? "" : "s"}`;
  return `${dayLabel(date)}, ${when}`;
}

function download() {
  const names = [
    ...["symbol", "security_name", "etf", "latest_bar", "session", "forecast", "q10", "q50", "q90"],
    ...["vol_moving_avg", "forecast_over_mean", "recent_sessions", "busier_sessions", "quieter_sessions"],
    ...["mdape", "dollar_volume", "event_date", "event_reacting_session"],
  ];
  const lines = shown.map((row) => {
    const flat = {
      ...row,
      ...row.quantiles,
      forecast_over_mean: ratioOf(row),
      event_date: row.event?.date,
      event_reacting_session: row.event?.reacting_session,
    };
    return names.map((name) => flat[name]);
  });
  downloadCsv(`forecasts_${usual ?? "none"}`, names, lines);
  say(`${full(shown.length)} rows are downloaded.`);
}
