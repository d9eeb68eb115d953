/** The page: which symbol the address names, and what is to be seen of it. */

import { findSymbols, forecastOf, historyOf, models, recordOf, storedKey, storeKey } from "./api.js";
import { byId, el, say, show } from "./dom.js";
import { estimateForm, fillEstimate, unfillEstimate } from "./estimator.js";
import { showForecast } from "./forecast.js";
import { compact, inWords, longDate } from "./format.js";
import { showHistory } from "./history.js";
import { showModels } from "./models.js";
import { showRecord } from "./record.js";
import { searchBox } from "./search.js";

const NAME = "Trading volume forecasts";
const FOUND = 8;
const MOST_TRADED = 12;
const HISTORY_DAYS = 731;
const PATIENCE_MS = 250;
const UNREACHABLE = 0;

/** What is being loaded: aborted as soon as another symbol is asked for. */
let loading = new AbortController();
let retrying = null;
let shown = null;

const putIntoSearch = searchBox(
  (query, signal) => findSymbols(query, FOUND, signal),
  goTo,
  (problem) => explain(problem) || say(problem.message),
);
estimateForm((problem) => problem.status === 401 && explain(problem));
window.addEventListener("hashchange", route);
byId("retry").addEventListener("click", start);
byId("key-form").addEventListener("submit", useKey);
byId("skip").addEventListener("click", (event) => {
  // A fragment would be taken for a symbol.
  event.preventDefault();
  byId("main").focus();
});
start();

function start() {
  loadModels();
  route();
}

function symbolInAddress() {
  const fragment = location.hash.slice(1);
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

function goTo(symbol) {
  const fragment = `#${encodeURIComponent(symbol)}`;
  if (location.hash === fragment) route();
  else location.hash = fragment;
}

async function route() {
  loading.abort();
  clearTimeout(retrying);
  const { signal } = (loading = new AbortController());
  const symbol = symbolInAddress();
  putIntoSearch(symbol);
  byId("main").setAttribute("aria-busy", "true");
  // A quick answer replaces what is there at once; only a slow one is waited for visibly.
  const slow = setTimeout(() => head(symbol || NAME, "") || show("loading"), PATIENCE_MS);
  try {
    await (symbol ? showSymbol(symbol, signal) : showWelcome(signal));
    if (shown !== null && shown !== symbol) scrollTo(0, 0);
    shown = symbol;
  } catch (problem) {
    if (signal.aborted) return;
    if (!explain(problem, symbol)) throw problem;
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) byId("main").removeAttribute("aria-busy");
  }
}

function head(title, subtitle) {
  byId("title").textContent = title;
  byId("subtitle").textContent = subtitle;
  byId("subtitle").hidden = !subtitle;
  document.title = title === NAME ? NAME : `${title} | ${NAME}`;
}

async function showWelcome(signal) {
  const { symbols, total } = await findSymbols("", MOST_TRADED, signal);
  head("Trading volume of the next session", "Search a symbol or a name to see its forecast, or begin with one of these.");
  byId("most").replaceChildren(...symbols.map(mostTraded));
  unfillEstimate();
  show("welcome");
  say(`Nothing is chosen yet. ${total} symbols are known.`);
}

function mostTraded({ symbol, security_name: name, dollar_volume: dollars }) {
  return el(
    "li",
    {},
    el(
      "a",
      { href: `#${encodeURIComponent(symbol)}` },
      el("span", { class: "symbol" }, symbol),
      el("span", { class: "name" }, name ?? ""),
      el("span", { class: "muted" }, dollars === null ? "" : `$${compact(dollars)}`),
    ),
  );
}

async function showSymbol(symbol, signal) {
  const settle = (promise) => promise.catch((problem) => problem);
  const [history, forecast, record] = await Promise.all([
    historyOf(symbol, HISTORY_DAYS, signal),
    settle(forecastOf(symbol, signal)),
    settle(recordOf(symbol, signal)),
  ]);
  signal.throwIfAborted();
  for (const one of [forecast, record]) {
    // Without a forecast or a record the rest is still worth seeing; without a key or a server not.
    if (one instanceof Error && one.status !== 404) throw one;
  }
  head(history.symbol, [history.security_name, history.etf ? "ETF" : null].filter(Boolean).join(" · "));
  if (byId("query").value === symbol) putIntoSearch(history.symbol);
  // Charts take the width of what is shown.
  show("symbol");
  showForecast(forecast, history.vol_moving_avg);
  showHistory(history, forecast);
  showRecord(record);
  fillEstimate(history);
  say(summary(history, forecast));
}

function summary({ symbol }, forecast) {
  if (forecast instanceof Error) return `${symbol}: there is no forecast.`;
  const { q10, q90 } = forecast.quantiles;
  return (
    `${symbol}: forecast of ${inWords(forecast.forecast)} shares for ${longDate(forecast.session)}, ` +
    `between ${inWords(q10)} and ${inWords(q90)}.${forecast.stale ? " It is out of date." : ""}`
  );
}

async function loadModels() {
  try {
    showModels(await models());
  } catch (problem) {
    if (problem.status !== 401) showModels(problem);
  }
}

/** Show what is wrong in place of the answer. Returns false for an error that is no Problem. */
function explain(problem, symbol = "") {
  if (problem.status === undefined) return false;
  if (problem.status === 401) askForKey();
  else if ([404, 422].includes(problem.status) && symbol) explainUnknown(problem, symbol);
  else explainFailure(problem);
  return true;
}

function explainUnknown(problem, symbol) {
  head(symbol, "");
  const words = problem.near.length ? "Did you mean one of these?" : "Search by a part of the symbol or the name.";
  const near = problem.near.map((one) => el("button", { type: "button", onclick: () => goTo(one) }, one));
  showProblem("There is no such symbol", words, near);
}

function explainFailure(problem) {
  const titles = { [UNREACHABLE]: "The server cannot be reached", 503: "The service is not ready" };
  head(symbolInAddress() || NAME, "");
  showProblem(titles[problem.status] ?? "Something went wrong", problem.message, []);
  byId("retry").hidden = false;
  if (problem.status === 503 && problem.retryAfter !== null) {
    byId("problem-waiting").textContent = `It is asked again every ${problem.retryAfter} seconds.`;
    byId("problem-waiting").hidden = false;
    clearTimeout(retrying);
    retrying = setTimeout(start, problem.retryAfter * 1000);
  }
}

function showProblem(title, detail, near) {
  byId("problem-title").textContent = title;
  byId("problem-detail").textContent = detail;
  byId("problem-waiting").hidden = true;
  byId("near").replaceChildren(...near);
  byId("retry").hidden = true;
  show("problem");
  say(`${title}. ${detail}`);
}

function askForKey() {
  const refused = storedKey() !== null;
  storeKey(null);
  head(NAME, "");
  show("key");
  const field = byId("key");
  byId("key-error").textContent = refused ? "The server refused this key." : "";
  field.setAttribute("aria-invalid", String(refused));
  say(refused ? "The server refused this key." : "This server asks for an API key.");
  field.focus();
  field.select();
}

function useKey(event) {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (!/^[!-~]+$/.test(key)) {
    byId("key-error").textContent = "A key is of letters, digits and signs, without spaces.";
    byId("key").setAttribute("aria-invalid", "true");
    return;
  }
  storeKey(key);
  start();
}
