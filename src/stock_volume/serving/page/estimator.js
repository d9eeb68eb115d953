/** The form of the two-input estimator. */

import { estimate } from "./api.js";
import { byId, el } from "./dom.js";
import { compact, full, shares, shortDate, toCents } from "./format.js";

const FIELDS = ["vol_moving_avg", "adj_close_rolling_med"];
const THOUSANDS = /^([+-]?\d{1,3})((?:,\d{3})+)(\.\d*)?$/;
const NUMERAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

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

/** Read what was typed: {value} as the service takes it, or a {message} that says what is wrong. */
function readNumber(text) {
  const typed = text.replace(/[\s$]/g, "");
  if (!typed) return { message: "Enter a number." };
  const value = THOUSANDS.test(typed) ? typed.replaceAll(",", "") : typed;
  if (value.includes(",")) {
    return { message: "Write a point before decimals, and commas only between thousands: 1,234,567.89" };
  }
  if (!NUMERAL.test(value)) return { message: "This is not a number. Write it as 1,234,567.89 or 1234567.89" };
  if (Number(value) < 0) return { message: "Must be 0 or more." };
  return { value };
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
