/** The form of the two-input estimator. */

import { estimate } from "./api.js";
import { byId, el } from "./dom.js";
import { compact, full, shares, shortDate } from "./format.js";

const FIELDS = ["vol_moving_avg", "adj_close_rolling_med"];

/** @param fail - Is called with a Problem that is not about the values; true if it saw to it. */
export function estimateForm(fail) {
  const form = byId("estimate-form");
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear();
    button.disabled = true;
    try {
      showAnswer(await estimate(Object.fromEntries(FIELDS.map((name) => [name, byId(name).value.trim()]))));
    } catch (problem) {
      if (!fail(problem)) showProblem(problem);
    } finally {
      button.disabled = false;
    }
  });
}

/** Fill in the averages of a symbol, and say what truly traded on their day. */
export function fillEstimate({ symbol, bars, ...averages }) {
  clear();
  for (const name of FIELDS) {
    byId(name).value = averages[name] === null ? "" : String(Number(averages[name].toFixed(2)));
  }
  const latest = bars.at(-1);
  byId("estimate-hint").textContent = latest
    ? `As of ${symbol}'s bar of ${shortDate(latest.Date)}: ${compact(latest.Volume)} shares were traded then.`
    : "";
}

/** Leave the values, which someone may have typed; they are no symbol's any more. */
export function unfillEstimate() {
  byId("estimate-hint").textContent = "";
}

function clear() {
  byId("estimate-answer").replaceChildren();
  byId("estimate-error").textContent = "";
  for (const name of FIELDS) {
    byId(`${name}-error`).textContent = "";
    byId(name).removeAttribute("aria-invalid");
  }
}

function showAnswer({ volume, model }) {
  byId("estimate-answer").replaceChildren(
    el("strong", {}, shares(volume), " shares"),
    ` (${full(volume)}) on the same day, by `,
    el("code", {}, model),
  );
}

function showProblem(problem) {
  const bad = problem.errors.filter(({ field }) => FIELDS.includes(field));
  for (const { field, message } of bad) {
    byId(`${field}-error`).textContent = message;
    byId(field).setAttribute("aria-invalid", "true");
  }
  if (bad.length) byId(bad[0].field).focus();
  else byId("estimate-error").textContent = problem.message;
}
