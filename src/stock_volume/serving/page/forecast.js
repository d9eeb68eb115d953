/** The next session's forecast. */

import { byId, definitions, el } from "./dom.js";
import { full, longDate, shares, shortDate, signedPercent } from "./format.js";

/**
 * @param forecast - The forecast, or a Problem that says why there is none.
 * @param usual - Mean volume of the last 30 days, or null.
 */
export function showForecast(forecast, usual) {
  const host = byId("forecast");
  if (forecast instanceof Error) {
    host.replaceChildren(el("p", { class: "notice" }, `There is no forecast: ${forecast.message}`));
    return;
  }
  const { q10, q90 } = forecast.quantiles;
  host.replaceChildren(
    ...(forecast.stale ? [staleNotice(forecast)] : []),
    el(
      "div",
      { class: "headline" },
      el(
        "div",
        {},
        el("p", { class: "when" }, longDate(forecast.session)),
        el("p", { class: "figure", id: "forecast-figure" }, shares(forecast.forecast), " shares"),
        el("p", { class: "muted", id: "forecast-full" }, `${full(forecast.forecast)} shares`),
      ),
      el(
        "div",
        {},
        el(
          "p",
          { id: "forecast-interval" },
          "In four cases of five, between ",
          el("strong", {}, shares(q10)),
          " and ",
          el("strong", {}, shares(q90)),
          " shares.",
        ),
        scale(forecast, usual),
        definitions([
          [withMark("Against the 30-day mean"), usual ? comparison(forecast.forecast, usual) : null],
          ["Rests on the bar of", shortDate(forecast.latest_bar)],
          ["Model", el("code", {}, forecast.model)],
        ]),
      ),
    ),
  );
}

function staleNotice({ latest_bar: latest, session }) {
  return el(
    "p",
    { class: "notice stale", id: "stale" },
    el("strong", {}, "Out of date. "),
    `The data end on ${shortDate(latest)}, and the session of ${shortDate(session)} is over. `,
    "A forecast of a session to come needs newer bars.",
  );
}

function comparison(forecast, usual) {
  return el("span", {}, signedPercent(100 * (forecast / usual - 1)), " (mean: ", shares(usual), ")");
}

const withMark = (words) => el("span", {}, el("span", { class: "mark mark-mean" }), words);

/** The interval on a scale from zero; the words beside it say the same. */
function scale({ forecast, quantiles: { q10, q90 } }, usual) {
  const most = Math.max(q90, usual ?? 0) * 1.08 || 1;
  const at = (value) => `${(100 * value) / most}%`;
  const band = el("span", { class: "scale-band" });
  band.style.left = at(q10);
  band.style.width = at(q90 - q10);
  const marks = [["scale-point", forecast], ...(usual ? [["scale-mean", usual]] : [])];
  const placed = marks.map(([name, value]) => {
    const mark = el("span", { class: name });
    mark.style.left = at(value);
    return mark;
  });
  return el("div", { class: "scale", "aria-hidden": "true" }, band, ...placed);
}
