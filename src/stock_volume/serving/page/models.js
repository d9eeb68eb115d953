/** The models in use and their data, at the foot of the page. */

import { byId, definitions, el, tableDetails } from "./dom.js";
import { full, momentDate, percent, shortDate } from "./format.js";

/** @param models - The answer of the service, or a Problem. */
export function showModels(models) {
  const host = byId("models");
  if (models instanceof Error) {
    host.replaceChildren(el("p", { class: "muted" }, `They could not be loaded: ${models.message}`));
    return;
  }
  const { forecaster, estimator, snapshot } = models;
  const described = el(
    "div",
    { class: "models" },
    model("Forecaster", [
      ["Tag", el("code", {}, forecaster.tag)],
      ["Made", momentDate(forecaster.created)],
      ["Trained on", `${shortDate(forecaster.trained_from)} to ${shortDate(forecaster.trained_to)}`],
      ["Rows", `${full(forecaster.rows)} of ${full(forecaster.symbols)} symbols`],
      ["Backtest", backtest(forecaster.metrics)],
    ]),
    model("Estimator", [
      ["Tag", el("code", {}, estimator.tag)],
      ["Made", momentDate(estimator.created)],
      ["Trained on", `${shortDate(estimator.trained_from)} to ${shortDate(estimator.trained_to)}`],
    ]),
    model("Data", [
      ["Tag", el("code", {}, snapshot.tag)],
      ["Symbols", full(snapshot.symbols)],
      ["Latest bar", shortDate(snapshot.latest_bar)],
    ]),
  );
  host.replaceChildren(
    described,
    tableDetails(
      `The forecaster's ${full(forecaster.features.length)} features`,
      ["Name", "What it is"],
      forecaster.features.map(({ name, description }) => [name, description]),
    ),
  );
}

const model = (name, facts) => el("section", {}, el("h3", {}, name), definitions(facts));

function backtest({ eta_r2: etaR2, coverage_80: coverage, universe }) {
  if (typeof coverage !== "number") return null;
  const share = typeof etaR2 === "number" ? percent(etaR2) : "undefined (the volumes do not vary)";
  const whose = universe ? ` (${universe})` : "";
  return `eta-R² ${share}, ${percent(coverage)} in the interval${whose}`;
}
