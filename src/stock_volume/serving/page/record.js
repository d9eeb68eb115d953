/** How accurate the backtest's forecasts of a symbol were. */

import { isMiss, legend, recordChart } from "./charts.js";
import { byId, definitions, el, tableDetails } from "./dom.js";
import { full, percent, shares, shortDate, wholePercent } from "./format.js";

/** Show that the record is loading. */
export function awaitRecord() {
  byId("record").replaceChildren(el("p", { class: "muted" }, "Loading…"));
}

/**
 * @param record - The record, or a Problem that says why there is none.
 * @param retry - Asks again.
 */
export function showRecord(record, retry) {
  const host = byId("record");
  if (record instanceof Error) {
    const gone = record.status === 404;
    const words = gone
      ? "There is no record: no session of this symbol was scored in the backtest."
      : `The record could not be loaded: ${record.message}`;
    host.replaceChildren(
      el("p", { class: "muted", id: "no-record" }, words),
      ...(gone ? [] : [el("button", { type: "button", onclick: retry }, "Try again")]),
    );
    return;
  }
  const plot = el("div");
  host.replaceChildren(
    el("p", { class: "lead", id: "record-lead" }, inOneSentence(record)),
    el(
      "p",
      { class: "muted" },
      `Backtest from ${shortDate(record.first)} to ${shortDate(record.last)}, `,
      "by models that had not seen these sessions.",
    ),
    figures(record),
    plot,
    legend(
      ["mark-dot", "actual, inside the interval"],
      ["mark-miss", "actual, outside it"],
      ["mark-line", "forecast"],
      ["mark-band", "interval of four cases in five"],
    ),
    tableDetails(
      "Forecasts as a table",
      ["Session", "Actual", "Forecast", "Quantile 10", "Quantile 90", "In the interval"],
      record.forecasts
        .toReversed()
        .map((row) => [
          shortDate(row.session),
          ...[row.volume, row.forecast, row.q10, row.q90].map(full),
          isMiss(row) ? "no" : "yes",
        ]),
    ),
    moreMeasures(record),
  );
  if (record.forecasts.length) recordChart(plot, record.forecasts);
}

function inOneSentence({ n, mdape, coverage_80: coverage }) {
  const of = Math.min(n, 100);
  return (
    `In ${Math.round((coverage * of) / 100)} of ${of} sessions the volume fell inside the interval; ` +
    `half of the forecasts missed by less than ${wholePercent(Math.ceil(mdape))}.`
  );
}

function figures({ n, mdape, coverage_80: coverage }) {
  return el(
    "dl",
    { class: "figures" },
    figure("In the interval", percent(coverage), "of volumes; 80\u202f% is the aim"),
    figure("Typical error", percent(mdape), "of the volume, the median (MdAPE)"),
    figure("Sessions", full(n), "scored, each from the bars before it"),
  );
}

function figure(name, value, words) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value), el("dd", { class: "hint" }, words));
}

function moreMeasures({ eta_r2: etaR2, mae }) {
  return el(
    "details",
    { id: "measures" },
    el("summary", {}, "More measures"),
    definitions([
      [
        "eta-R²",
        el(
          "span",
          {},
          etaR2 === null ? "undefined (the volumes do not vary)" : percent(etaR2),
          ": less squared error than the mean of five days has; below 0, more",
        ),
      ],
      ["Mean error (MAE)", el("span", {}, shares(mae), " shares, in either direction")],
    ]),
  );
}
