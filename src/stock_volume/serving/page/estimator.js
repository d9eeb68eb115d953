/** The form of the two-input estimator. */

import { estimate } from "./api.js";
import { byId, el } from "./dom.js";
import { compact, full, shares, shortDate, toCents } from "./format.js";
import { readNumber } from "./numeral.js";

const FIELDS = ["vol_moving_avg", "adj_close_rolling_med"];

/** @param fail - Is called with a Problem that is not about the values; true if it saw to it. */
export function estimateForm(fail) {
  const form = byId("estimate-form");
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear();
    const read = FIELDS.map((field) => ({ field, ...readNumber(byId(field).value) }));
    const bad = read.filter(({ message }) => message);
    if (bad.length) return showErrors(bad);
    button.disabled = true;
    try {
      showAnswer(await estimate(Object.fromEntries(read.map(({ field, value }) => [field, value]))));
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
    byId(name).value = averages[name] === null ? "" : toCents(averages[name]);
  }
  const latest = bars.at(-1);
  byId("estimate-hint").textContent = latest
    ? `As of ${symbol}'s bar of ${shortDate(latest.Date)}: ${compact(latest.Volume)} shares were traded then.`
    : "";
}

/** Leave the values, which someone may have typed; they are no symbol's. */
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

function showAnswer({ volume, note }) {
  // After its first part a note names values above the training range.
  const beyond = note.split("; ").slice(1).map(withLabels);
  byId("estimate-answer").replaceChildren(
    el("strong", {}, shares(volume), " shares"),
    ` (${full(volume)}) on the same day.`,
    ...(beyond.length ? [el("span", { class: "hint" }, ` Beware: ${beyond.join("; ")}.`)] : []),
  );
}

const withLabels = (words) =>
  FIELDS.reduce((text, name) => text.replace(name, byId(name).labels[0].textContent.split(",")[0]), words);

function showProblem(problem) {
  const bad = problem.errors.filter(({ field }) => FIELDS.includes(field));
  if (bad.length) showErrors(bad);
  else byId("estimate-error").textContent = problem.message;
}

function showErrors(bad) {
  for (const { field, message } of bad) {
    byId(`${field}-error`).textContent = message;
    byId(field).setAttribute("aria-invalid", "true");
  }
  byId(bad[0].field).focus();
}
