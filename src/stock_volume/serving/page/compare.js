/** Up to four symbols side by side: their forecasts in a table, their prices and volumes in charts. */

import { compareChart } from "./charts.js";
import { addressOfSymbol } from "./address.js";
import { byId, el, say } from "./dom.js";
import { change, compact, percent, shortDate } from "./format.js";
import { lastMonths } from "./history.js";
import { ratioOf, unusualness } from "./outlook.js";

export const MAX_COMPARED = 4;
const SMOOTHED = 5;
const NOTHING = "\u2013";

const LINES = [
  ["Session", ({ session }) => (session ? shortDate(session) : NOTHING)],
  ["Forecast, shares", ({ forecast }) => (forecast === null ? NOTHING : compact(forecast))],
  ["Against its 30-day mean", (row) => change(ratioOf(row)) ?? NOTHING],
  ["Interval", ({ quantiles }) => (quantiles ? `${compact(quantiles.q10)} to ${compact(quantiles.q90)}` : NOTHING)],
  ["Among the last 60 sessions", (row) => unusualness(row) || NOTHING],
  ["Typical error", ({ mdape }) => (mdape === null ? NOTHING : percent(mdape))],
  ["Dollars a day", ({ dollar_volume: dollars }) => (dollars === null ? NOTHING : `$${compact(dollars)}`)],
  ["Next event", ({ event }) => (event ? shortDate(event.date) : NOTHING)],
];

/**
 * Show the comparison, or how to begin one.
 *
 * @param histories - Histories of the symbols, the page's own first.
 * @param rows - Their rows of the list of all forecasts.
 * @param unknown - Symbols that were asked for and have no history.
 * @param months - The range that is shown.
 * @param remove - Is called with a symbol that is to be left out.
 */
export function showComparison(histories, rows, unknown, months, remove) {
  const host = byId("compare");
  byId("compare-search").hidden = histories.length >= MAX_COMPARED;
  const lacking = unknown.map((symbol) => el("p", { class: "notice" }, `There is no such symbol: ${symbol}`));
  if (histories.length < 2) {
    const words = `Add up to ${MAX_COMPARED - 1} symbols to see them side by side.`;
    host.replaceChildren(...lacking, el("p", { class: "muted" }, words));
    return;
  }
  const plots = [el("div"), el("div")];
  host.replaceChildren(...lacking, table(rows, remove), legend(histories), ...plots);
  const series = histories.map((history) => ({ symbol: history.symbol, bars: lastMonths(history.bars, months) }));
  compareChart(plots[0], "Adjusted close, first day of the range = 100", series, indexed);
  compareChart(plots[1], "Volume, mean of five sessions over the mean of the range", series, relative);
  say(`${histories.map(({ symbol }) => symbol).join(", ")} are compared.`);
}

function table(rows, remove) {
  const [own] = rows;
  const heads = rows.map((row) =>
    el(
      "th",
      { scope: "col" },
      row === own ? row.symbol : el("a", { href: addressOfSymbol(row.symbol) }, row.symbol),
      row === own ? null : " ",
      row === own
        ? null
        : el("button", { type: "button", class: "remove", "aria-label": `Remove ${row.symbol}`, onclick: () => remove(row.symbol) }, "\u00d7"),
    ),
  );
  const lines = LINES.map(([name, text]) =>
    el("tr", {}, el("th", { scope: "row" }, name), ...rows.map((row) => el("td", {}, text(row)))),
  );
  const body = el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...heads)), el("tbody", {}, ...lines));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Symbols compared" }, body);
}

function legend(histories) {
  const items = histories.map(({ symbol }, place) =>
    el("li", {}, el("span", { class: `mark mark-line line-${place}` }), symbol),
  );
  return el("ul", { class: "legend" }, ...items);
}

/** Adjusted closes, the first of them 100. */
function indexed(bars) {
  const first = bars[0]?.["Adj Close"];
  return bars.map((bar) => (first ? (100 * bar["Adj Close"]) / first : null));
}

/** Volumes over their mean, smoothed. */
function relative(bars) {
  const mean = bars.reduce((sum, bar) => sum + bar.Volume, 0) / bars.length;
  return bars.map((_, place) => {
    const few = bars.slice(Math.max(0, place + 1 - SMOOTHED), place + 1);
    return mean ? few.reduce((sum, bar) => sum + bar.Volume, 0) / few.length / mean : null;
  });
}
