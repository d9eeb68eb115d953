/** The next session's forecast. */

import { byId, el, tableDetails } from "./dom.js";
import { againstMean, compact, full, longDate, shares, shortDate } from "./format.js";
import { openingForm } from "./opening.js";

const RECENT = 60;
const FEW = 20;
/** An interval of a smaller part of the scale has one label for both ends. */
const NARROW = 0.3;

/**
 * @param forecast - The forecast, or a Problem that says why there is none.
 * @param history - The history that it follows.
 * @param retry - Asks again.
 */
export function showForecast(forecast, { vol_moving_avg: usual, bars }, retry) {
  const host = byId("forecast");
  if (forecast instanceof Error) {
    const gone = forecast.status === 404;
    const words = gone ? "There is no forecast" : "The forecast could not be loaded";
    host.replaceChildren(
      el("p", { class: "notice" }, `${words}: ${forecast.message}`),
      ...(gone ? [] : [el("button", { type: "button", onclick: retry }, "Try again")]),
    );
    return;
  }
  const { q10, q90 } = forecast.quantiles;
  const chips = [againstMean(forecast.forecast, usual), amongRecent(forecast.forecast, bars)];
  host.replaceChildren(
    el(
      "div",
      { class: "headline" },
      el(
        "div",
        {},
        el("p", { class: "when" }, el("span", {}, longDate(forecast.session)), " ", source(forecast)),
        el("p", { class: "figure", id: "forecast-figure" }, shares(forecast.forecast), " shares"),
        el(
          "ul",
          { class: "chips", id: "unusual" },
          ...chips.filter(Boolean).map((words) => el("li", {}, words)),
        ),
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
          usual ? el("span", { class: "hidden" }, ` The 30-day mean is ${compact(usual)}.`) : null,
        ),
        scale(forecast, usual),
      ),
    ),
    el("p", { id: "forecast-event" }, forecast.event?.text ?? "No release of earnings is known within reach of this session."),
    ...(forecast.stale ? [remedy(forecast)] : []),
    ...beyond(forecast),
    openingForm(forecast.symbol),
    meaning(forecast),
  );
}

const TOTAL = /^total_(\d+)$/;

/** Forecasts beyond the next session, of the models that make them. */
function beyond({ horizons = [] }) {
  if (!horizons.length) return [];
  const rows = horizons.map(({ horizon, session, forecast, q10, q90 }) => {
    const [, sessions] = TOTAL.exec(horizon) ?? [];
    const name = sessions ? `Next ${sessions} sessions in all, to ${shortDate(session)}` : longDate(session);
    return [name, full(forecast), `${full(q10)} to ${full(q90)}`, sessions ? full(forecast / sessions) : ""];
  });
  const names = ["Session", "Forecast, shares", "Interval of four cases in five", "A session"];
  const details = tableDetails("Beyond the next session", names, rows);
  details.id = "horizons";
  return [details];
}

/** What to run where the forecast is out of date. */
function remedy({ latest_bar: latest, session }) {
  return el(
    "p",
    { class: "notice", id: "remedy" },
    `The session of ${shortDate(session)} is over, and the data end on ${shortDate(latest)}. For a newer forecast, run `,
    el("code", {}, "kedro run --pipelines update --params source=newer.zip"),
    " (or ",
    el("code", {}, "--env yahoo"),
    ") and start the server again.",
  );
}

/** What the interval means, in terms of sessions. */
function meaning({ quantiles: { q10, q50, q90 } }) {
  return el(
    "details",
    { id: "meaning" },
    el("summary", {}, "What does the interval mean?"),
    el(
      "p",
      {},
      `Of ten sessions like this one, about one has fewer than ${compact(q10)} shares, one more than ${compact(q90)}, `,
      `and eight lie between. Half have fewer than ${compact(q50)} shares. `,
      "The quantiles are calibrated on recent sessions of symbols of similar liquidity. News that nobody could know at ",
      "the last close can still move the volume far outside. How often the interval held for this symbol is below, ",
      "under its past forecasts.",
    ),
  );
}

function source({ stale, latest_bar: latest }) {
  const day = shortDate(latest);
  if (!stale) return el("span", { class: "muted" }, `from bars up to ${day}`);
  return el("span", { class: "pill", id: "stale" }, `Out of date: data end ${day}`);
}

/** How many of the latest sessions were busier than the forecast, or quieter; null where they are few. */
function amongRecent(forecast, bars) {
  const recent = bars.slice(-RECENT).map((bar) => bar.Volume);
  if (recent.length < FEW) return null;
  const busier = recent.filter((volume) => volume > forecast).length;
  const quieter = recent.filter((volume) => volume < forecast).length;
  const [word, count] = busier >= quieter ? ["quieter", busier] : ["busier", quieter];
  return `${word} than ${count} of the last ${recent.length} sessions`;
}

/** The interval beside the 30-day mean; the words above it say the same. */
function scale({ forecast, quantiles: { q10, q90 } }, usual) {
  const values = [q10, q90, forecast, ...(usual ? [usual] : [])];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const part = (value) => (most > least ? (value - least) / (most - least) : 0.5);
  const band = el("span", { class: "scale-band" });
  band.style.left = inPercent(part(q10));
  band.style.width = inPercent(part(q90) - part(q10));
  const ends =
    part(q90) - part(q10) < NARROW
      ? [label("scale-end", `${compact(q10)} to ${compact(q90)}`, (part(q10) + part(q90)) / 2)]
      : [label("scale-end", compact(q10), part(q10)), label("scale-end", compact(q90), part(q90))];
  const ofMean = usual
    ? [
        at(el("span", { class: "scale-mean" }), part(usual)),
        label("scale-usual", `30-day mean ${compact(usual)}`, part(usual)),
      ]
    : [];
  const placed = el(
    "div",
    {},
    band,
    ...ofMean,
    at(el("span", { class: "scale-point" }), part(forecast)),
    label("scale-forecast", compact(forecast), part(forecast)),
    ...ends,
  );
  return el("div", { class: "scale", "aria-hidden": "true" }, placed);
}

const inPercent = (part) => `${(100 * part).toFixed(2)}%`;

function at(node, part) {
  node.style.left = inPercent(part);
  return node;
}

/** Words at a place of the scale, centred on it; long ones end where the scale does. */
function label(name, words, part) {
  const node = at(el("span", { class: `scale-label ${name}` }, words), part);
  node.style.transform = `translateX(-${name === "scale-usual" ? inPercent(part) : "50%"})`;
  return node;
}
