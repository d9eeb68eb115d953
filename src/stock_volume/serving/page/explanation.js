/** Why a forecast is what it is: what each kind of feature multiplies it by. */

import { byId, el, tableDetails } from "./dom.js";
import { compact, factorChange, shares } from "./format.js";

/** Show that the explanation is loading. */
export function awaitExplanation() {
  byId("explanation").replaceChildren(el("p", { class: "muted" }, "Loading…"));
}

/**
 * @param explanation - The answer, or a Problem that says why there is none.
 * @param retry - Asks again.
 */
export function showExplanation(explanation, retry) {
  const host = byId("explanation");
  if (explanation instanceof Error) {
    const gone = explanation.status === 404;
    const words = gone ? "There is no forecast to explain." : `It could not be loaded: ${explanation.message}`;
    host.replaceChildren(
      el("p", { class: "muted", id: "no-explanation" }, words),
      ...(gone ? [] : [el("button", { type: "button", onclick: retry }, "Try again")]),
    );
    return;
  }
  const { start, average_text: average, adaptation_text: adaptation = "", kinds, forecast } = explanation;
  const most = Math.max(...kinds.map(({ factor }) => Math.abs(Math.log(factor))), 0.01);
  host.replaceChildren(
    el(
      "p",
      {},
      "The forecast starts from the mean of the last five sessions, ",
      el("strong", {}, shares(Math.round(start)), " shares"),
      `. ${average} What is known then raises or lowers it, step by step, to `,
      el("strong", {}, shares(forecast), " shares"),
      `. ${adaptation}`,
    ),
    el("ul", { class: "effects" }, ...kinds.map((kind) => effect(kind, most))),
    tableDetails(
      "The features behind it",
      ["Feature", "Kind", "Value", "Effect"],
      kinds.flatMap(({ kind, features }) =>
        features.map(({ name, description, value, factor }) => [
          el("span", {}, el("code", {}, name), " ", el("span", { class: "hint" }, description)),
          kind,
          value === null ? "unknown" : String(Number(value.toPrecision(4))),
          factorChange(factor),
        ]),
      ),
    ),
    el(
      "p",
      { class: "hint" },
      "Contributions of the model's own features (SHAP values of its trees), as factors: together they make ",
      `${compact(start)} into ${compact(forecast)}. They describe the model, not causes in the market.`,
    ),
  );
}

function effect({ text, factor }, most) {
  const part = Math.log(factor) / most;
  const bar = el("span");
  bar.style.width = `${50 * Math.abs(part)}%`;
  bar.style.left = `${part < 0 ? 50 + 50 * part : 50}%`;
  return el(
    "li",
    {},
    el("span", {}, text),
    el("span", { class: "tilt", "aria-hidden": "true" }, bar),
  );
}
