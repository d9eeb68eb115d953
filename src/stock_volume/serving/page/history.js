/** The price and the volume of the last months, as charts and as a table. */

import { changeParams } from "./address.js";
import { historyCharts, legend } from "./charts.js";
import { downloadCsv } from "./csv.js";
import { byId, el, say, tableDetails } from "./dom.js";
import { compact, full, shortDate, toCents } from "./format.js";

const DAY_MS = 86_400_000;
const MEAN_DAYS = 30;

const FIRST_RANGE = "3";

let shown = null;

byId("range").addEventListener("change", () => {
  if (!shown) return;
  changeParams({ range: chosen().value === FIRST_RANGE ? null : chosen().value });
  say(draw());
  shown.onRange(chosenMonths());
});
byId("history-csv").addEventListener("click", download);

const chosen = () => byId("range").querySelector(":checked");

/** The range that is chosen, in months. */
export const chosenMonths = () => Number(chosen().value);

/** Choose a range; what is none is the first. */
export function chooseRange(months) {
  const named = byId("range").querySelector(`[value="${CSS.escape(months ?? FIRST_RANGE)}"]`);
  (named ?? byId("range").querySelector(`[value="${FIRST_RANGE}"]`)).checked = true;
}

/**
 * @param history - The answer of the service.
 * @param forecast - The next session's, or a Problem that says why there is none.
 * @param onRange - Is called with the months of another range.
 */
export function showHistory(history, forecast, onRange) {
  shown = {
    symbol: history.symbol,
    bars: withMeans(history.bars),
    forecast: forecast instanceof Error ? null : forecast,
    onRange,
  };
  draw();
}

function download() {
  const bars = lastMonths(shown.bars, chosenMonths());
  const names = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"];
  const lines = bars.map((bar) => [...names.map((name) => bar[name]), bar.mean]);
  downloadCsv(`${shown.symbol}_${bars.at(-1)?.Date ?? "none"}`, [...names, "30-day mean"], lines);
}

/** Draw the range that is chosen. Returns what it holds, in words. */
function draw() {
  const { forecast } = shown;
  const range = chosen();
  const bars = lastMonths(shown.bars, chosenMonths());
  const host = byId("history");
  if (!bars.length) {
    byId("price").replaceChildren();
    host.replaceChildren(el("p", { class: "muted" }, "No bars are known."));
    return "No bars are known.";
  }
  const ofForecast = [
    ["mark-forecast", "forecast"],
    ["mark-band", "interval of four cases in five"],
  ];
  const plot = el("div");
  const table = tableDetails(
    "Prices and volumes as a table",
    ["Session", "Shares", "30-day mean", "Quantiles 10 to 90", "Adjusted close"],
    rows(bars, forecast),
  );
  // Whoever reads the table wants it of the other range, too.
  table.open = host.querySelector("details")?.open ?? false;
  host.replaceChildren(
    plot,
    legend(["mark-bar", "volume"], ["mark-mean", "30-day mean"], ...(forecast ? ofForecast : [])),
    table,
  );
  historyCharts(byId("price"), plot, bars, forecast);
  return summary(range.labels[0].textContent.trim(), bars);
}

function summary(range, bars) {
  const volumes = bars.map((bar) => bar.Volume);
  return (
    `${range}: ${bars.length} sessions from ${shortDate(bars[0].Date)} to ${shortDate(bars.at(-1).Date)}, ` +
    `${compact(Math.min(...volumes))} to ${compact(Math.max(...volumes))} shares a day.`
  );
}

/** Add to each bar the mean of the 30 calendar days that end with it; null where some are not known. */
function withMeans(bars) {
  const days = bars.map((bar) => Date.parse(bar.Date) / DAY_MS);
  let [first, sum] = [0, 0];
  return bars.map((bar, place) => {
    sum += bar.Volume;
    while (days[first] <= days[place] - MEAN_DAYS) sum -= bars[first++].Volume;
    const whole = days[place] - days[0] >= MEAN_DAYS - 1;
    return { ...bar, mean: whole ? sum / (place - first + 1) : null };
  });
}

/** Bars of the calendar months that end with the latest bar. */
export function lastMonths(bars, months) {
  if (!bars.length) return bars;
  const start = new Date(bars.at(-1).Date);
  start.setUTCMonth(start.getUTCMonth() - months);
  const first = start.toISOString().slice(0, 10);
  return bars.filter((bar) => bar.Date > first);
}

function rows(bars, forecast) {
  const past = bars
    .toReversed()
    .map((bar) => [
      shortDate(bar.Date),
      full(bar.Volume),
      bar.mean === null ? "" : full(bar.mean),
      "",
      toCents(bar["Adj Close"]),
    ]);
  if (!forecast) return past;
  const { session, quantiles } = forecast;
  const next = [
    `${shortDate(session)} (forecast)`,
    full(forecast.forecast),
    "",
    `${full(quantiles.q10)} to ${full(quantiles.q90)}`,
    "",
  ];
  return [next, ...past];
}
