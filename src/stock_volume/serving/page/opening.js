/** The forecast at the open: a form for the price, and the answer. */

import { openingOf } from "./api.js";
import { el } from "./dom.js";
import { full, shares, signedPercent } from "./format.js";
import { readNumber } from "./numeral.js";

/** A form that corrects the forecast of a symbol by what its session opened at. */
export function openingForm(symbol) {
  const error = el("p", { class: "error", id: "opening-error", role: "alert" });
  const answer = el("p", { class: "answer", id: "opening-answer", role: "status" });
  const input = el("input", {
    id: "opening-price",
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    "aria-describedby": "opening-error",
  });
  const button = el("button", {}, "Forecast at the open");
  const form = el(
    "form",
    { novalidate: true, onsubmit: submit },
    el(
      "div",
      { class: "fields" },
      el("div", { class: "field" }, el("label", { for: "opening-price" }, "Opening price, dollars"), input),
      button,
    ),
    error,
    answer,
  );

  async function submit(event) {
    event.preventDefault();
    answer.replaceChildren();
    refuse("");
    const { value, message } = readNumber(input.value);
    if (message) return refuse(message);
    button.disabled = true;
    try {
      answer.replaceChildren(...describe(await openingOf(symbol, value)));
    } catch (problem) {
      refuse(problem.errors[0]?.message ?? problem.message);
    } finally {
      button.disabled = false;
    }
  }

  function refuse(message) {
    error.textContent = message;
    if (!message) return input.removeAttribute("aria-invalid");
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }

  return el(
    "details",
    { id: "opening" },
    el("summary", {}, "Has the session opened?"),
    el(
      "p",
      {},
      "A gap between the last close and the open shows how much news came overnight. With the opening price, the ",
      "forecast takes it into account.",
    ),
    form,
  );
}

function describe({ forecast, gap, before, note, quantiles: { q10, q90 } }) {
  return [
    el("strong", {}, shares(forecast), " shares"),
    ` (${full(forecast)}) with a gap of ${signedPercent(gap)}; in four cases of five, between `,
    shares(q10),
    " and ",
    shares(q90),
    ". Before the open it was ",
    shares(before),
    ".",
    ...(note ? [el("span", { class: "hint" }, ` Beware: ${note}.`)] : []),
  ];
}
