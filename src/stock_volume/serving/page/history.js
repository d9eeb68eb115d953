/** The volume of the last months, as bars and as a table. */

import { legend, volumeChart } from "./charts.js";
import { byId, el, say, tableDetails } from "./dom.js";
import { compact, full, shortDate } from "./format.js";

const DAY_MS = 86_400_000;
const MEAN_DAYS = 30;

let shown = null;

byId("range").addEventListener("change", () => {
  if (shown) say(draw());
});

/**
 * @param history - The answer of the service.
 * @param forecast - The next session's, or a Problem that says why there is none.
 */
export function showHistory(history, forecast) {
  shown = {
    bars: withMeans(history.bars),
    forecast: forecast instanceof Error ? null : forecast,
  };
  draw();
}

/** Draw the range that is chosen. Returns what it holds, in words. */
function draw() {
  const { forecast } = shown;
  const range = byId("range").querySelector(":checked");
  const bars = lastMonths(shown.bars, Number(range.value));
  const host = byId("history");
  if (!bars.length) {
    host.replaceChildren(el("p", { class: "muted" }, "No bars are known."));
    return "No bars are known.";
  }
  const ofForecast = [
    ["mark-forecast", "forecast"],
    ["mark-band", "interval of four cases in five"],
  ];
  const plot = el("div");
  const table = tableDetails(
    "Volumes as a table",
    ["Session", "Shares", "30-day mean", "Quantiles 10 to 90"],
    rows(bars, forecast),
  );
  // Whoever reads the table wants it of the other range, too.
  table.open = host.querySelector("details")?.open ?? false;
  host.replaceChildren(
    plot,
    legend(["mark-bar", "volume"], ["mark-mean", "30-day mean"], ...(forecast ? ofForecast : [])),
    table,
  );
  volumeChart(plot, bars, forecast);
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
function lastMonths(bars, months) {
  if (!bars.length) return bars;
  const start = new Date(bars.at(-1).Date);
  start.setUTCMonth(start.getUTCMonth() - months);
  const first = start.toISOString().slice(0, 10);
  return bars.filter((bar) => bar.Date > first);
}

function rows(bars, forecast) {
  const past = bars
    .toReversed()
    .map((bar) => [shortDate(bar.Date), full(bar.Volume), bar.mean === null ? "" : full(bar.mean), ""]);
  if (!forecast) return past;
  const { session, quantiles } = forecast;
  const next = [
    `${shortDate(session)} (forecast)`,
    full(forecast.forecast),
    "",
    `${full(quantiles.q10)} to ${full(quantiles.q90)}`,
  ];
  return [next, ...past];
}
