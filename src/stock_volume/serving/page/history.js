/** The volume of the last months, as bars and as a table. */

import { legend, volumeChart } from "./charts.js";
import { byId, el, tableDetails } from "./dom.js";
import { full, shortDate } from "./format.js";

let shown = null;

byId("range").addEventListener("change", () => shown && draw());

/**
 * @param history - The answer of the service.
 * @param forecast - The next session's, or a Problem that says why there is none.
 */
export function showHistory(history, forecast) {
  shown = { history, forecast: forecast instanceof Error ? null : forecast };
  draw();
}

function draw() {
  const { history, forecast } = shown;
  const months = Number(byId("range").querySelector(":checked").value);
  const bars = lastMonths(history.bars, months);
  const host = byId("history");
  if (!bars.length) {
    host.replaceChildren(el("p", { class: "muted" }, "No bars are known."));
    return;
  }
  const plot = el("div");
  host.replaceChildren(
    plot,
    legend(["mark-bar", "volume"], ...(forecast ? [["mark-error", "forecast, with quantiles 10 to 90"]] : [])),
    tableDetails("Volumes as a table", ["Session", "Shares", "Quantiles 10 to 90"], rows(bars, forecast)),
  );
  volumeChart(plot, bars, forecast);
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
  const past = bars.toReversed().map((bar) => [shortDate(bar.Date), full(bar.Volume), ""]);
  if (!forecast) return past;
  const { session, quantiles } = forecast;
  const next = [
    `${shortDate(session)} (forecast)`,
    full(forecast.forecast),
    `${full(quantiles.q10)} to ${full(quantiles.q90)}`,
  ];
  return [next, ...past];
}
