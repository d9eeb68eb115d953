/** How the backtest's forecasts of a symbol came true. */

import { legend, recordChart } from "./charts.js";
import { byId, el, tableDetails } from "./dom.js";
import { full, percent, shares, shortDate } from "./format.js";

/** @param record - The record, or a Problem that says why there is none. */
export function showRecord(record) {
  const host = byId("record");
  if (record instanceof Error) {
    const words =
      record.status === 404
        ? "There is no record: no session of this symbol was scored in the backtest."
        : `The record could not be loaded: ${record.message}`;
    host.replaceChildren(el("p", { class: "muted", id: "no-record" }, words));
    return;
  }
  const plot = el("div");
  host.replaceChildren(
    el(
      "p",
      { class: "muted" },
      `Backtest from ${shortDate(record.first)} to ${shortDate(record.last)}, `,
      "by models that had not seen these sessions.",
    ),
    figures(record),
    plot,
    legend(["mark-dot", "came true"], ["mark-line", "forecast"], ["mark-band", "quantiles 10 to 90"]),
    tableDetails(
      "Forecasts as a table",
      ["Session", "Came true", "Forecast", "Quantile 10", "Quantile 90"],
      record.forecasts
        .toReversed()
        .map((row) => [
          shortDate(row.session),
          ...[row.volume, row.forecast, row.q10, row.q90].map(full),
        ]),
    ),
  );
  if (record.forecasts.length) recordChart(plot, record.forecasts);
}

function figures({ n, eta_r2: etaR2, mdape, coverage_80: coverage, mae }) {
  return el(
    "dl",
    { class: "figures" },
    figure("Sessions scored", full(n), "each forecast from the bars before it"),
    figure(
      "eta-R²",
      etaR2 === null ? "n/a" : percent(etaR2),
      "less squared error than the mean of five days has; below 0, more",
    ),
    figure("Typical error (MdAPE)", percent(mdape), "of the volume: half of the forecasts erred by less"),
    figure("In the interval", percent(coverage), "of volumes fell between quantiles 10 and 90; 80 % is the aim"),
    figure("Mean error (MAE)", shares(mae), "shares, in either direction"),
  );
}

function figure(name, value, words) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value), el("dd", { class: "hint" }, words));
}
