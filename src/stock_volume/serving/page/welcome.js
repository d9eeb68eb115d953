/** Where to begin: the symbols traded most, each with its forecast. */

import { forecastsOf, historyOf } from "./api.js";
import { sparkline } from "./charts.js";
import { byId, el } from "./dom.js";
import { againstMean, compact, shares, shortDate, shortName } from "./format.js";

const SPARK_DAYS = 92;

/** @param symbols - As the service finds them. */
export function showMostTraded(symbols) {
  byId("most").replaceChildren(...symbols.map(card));
  byId("most-session").textContent = "";
}

function card({ symbol, security_name: name, dollar_volume: dollars }) {
  const traded = dollars === null ? "" : `$${compact(dollars)} a day`;
  return el(
    "li",
    { "data-symbol": symbol },
    el(
      "a",
      { href: `#${encodeURIComponent(symbol)}` },
      el("span", { class: "symbol" }, symbol),
      " ",
      el("span", { class: "traded muted" }, traded),
      " ",
      el("span", { class: "name", title: name }, shortName(name)),
      " ",
      el("span", { class: "outlook" }, el("span", { class: "muted" }, "…")),
    ),
  );
}

/**
 * Add to each symbol its forecast, and how that lies to its 30-day mean, as they come.
 * Nothing here is worth an error in place of the page: what fails is left out.
 */
export async function addOutlooks(symbols, signal) {
  const names = symbols.map(({ symbol }) => symbol);
  const nothing = () => null;
  if (!names.length) return;
  const histories = names.map((name) => historyOf(name, SPARK_DAYS, signal).catch(nothing));
  // A 404 says that none of them can be forecast.
  const answer = await forecastsOf(names, signal).catch(({ status }) => (status === 404 ? { forecasts: [] } : null));
  const known = new Map(answer?.forecasts.map((forecast) => [forecast.symbol, forecast]));
  const sessions = new Set([...known.values()].map(({ session }) => session));
  if (signal.aborted) return;
  if (sessions.size === 1) {
    const stale = [...known.values()].some((forecast) => forecast.stale);
    const day = shortDate([...sessions][0]);
    byId("most-session").textContent = `Forecasts for ${day}${stale ? ", out of date" : ""}`;
  }
  await Promise.all(
    names.map(async (name, place) => {
      const history = await histories[place];
      const without = answer ? "no forecast" : "forecast not loaded";
      if (!signal.aborted) addOutlook(name, known.get(name) ?? without, history, sessions.size > 1);
    }),
  );
}

/** @param forecast - The forecast, or why there is none. */
function addOutlook(symbol, forecast, history, dated) {
  const outlook = byId("most").querySelector(`[data-symbol="${CSS.escape(symbol)}"] .outlook`);
  if (!outlook) return;
  if (typeof forecast === "string") {
    outlook.replaceChildren(el("span", { class: "muted" }, forecast));
    return;
  }
  const volumes = history?.bars.map((bar) => bar.Volume) ?? [];
  const words = againstMean(forecast.forecast, history?.vol_moving_avg);
  outlook.replaceChildren(
    el("span", { class: "amount" }, shares(forecast.forecast), el("span", { class: "muted" }, " shares")),
    " ",
    el("span", { class: "change" }, [words, dated ? shortDate(forecast.session) : null].filter(Boolean).join(", ")),
    volumes.length ? sparkline(volumes, forecast.forecast) : null,
  );
}
