/** The page: which symbol the address names, and what is to be seen of it. */

import { findSymbols, forecastOf, historyOf, models, recordOf, storedKey, storeKey } from "./api.js";
import { byId, el, say, show } from "./dom.js";
import { estimateForm, fillEstimate, unfillEstimate } from "./estimator.js";
import { showForecast } from "./forecast.js";
import { inWords, longDate, shortName } from "./format.js";
import { showHistory } from "./history.js";
import { showModels } from "./models.js";
import { awaitRecord, showRecord } from "./record.js";
import { searchBox } from "./search.js";
import { addOutlooks, showMostTraded } from "./welcome.js";

const NAME = "Trading volume forecasts";
const FOUND = 8;
const MOST_TRADED = 12;
const HISTORY_DAYS = 731;
const PATIENCE_MS = 250;
/** How long the rest waits for the record, to be shown with it at once. */
const RECORD_MS = 100;
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
  const slow = setTimeout(() => {
    head(symbol || NAME);
    show("loading");
    say(symbol ? `Loading ${symbol}…` : "Loading…");
  }, PATIENCE_MS);
  try {
    const rest = await (symbol ? showSymbol(symbol, signal) : showWelcome(signal));
    clearTimeout(slow);
    if (shown !== null && shown !== symbol) scrollTo(0, 0);
    shown = symbol;
    await rest();
  } catch (problem) {
    if (signal.aborted) return;
    if (!explain(problem, symbol)) throw problem;
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) byId("main").removeAttribute("aria-busy");
  }
}

/** @param name - Of the security that the title is the symbol of, if it is one and has one. */
function head(title, subtitle = "", name = null) {
  const short = shortName(name);
  const company = short ? el("span", { class: "company", title: name }, short) : null;
  byId("title").replaceChildren(el("span", { class: "symbol" }, title), ...(company ? [" ", company] : []));
  byId("subtitle").textContent = subtitle;
  byId("subtitle").hidden = !subtitle;
  document.title = title === NAME ? NAME : `${short ? `${title}, ${short}` : title} | ${NAME}`;
}

/** Show what is there first. Returns what shows the rest. */
async function showWelcome(signal) {
  const { symbols, total } = await findSymbols("", MOST_TRADED, signal);
  head(NAME, "Search a symbol or a name to see its forecast, or begin with one of these.");
  showMostTraded(symbols);
  unfillEstimate();
  show("welcome");
  say(`Nothing is chosen yet. ${total} symbols are known.`);
  return () => addOutlooks(symbols, signal);
}

/** Show what is there first. Returns what shows the rest. */
async function showSymbol(symbol, signal) {
  const record = orProblem(recordOf(symbol, signal));
  // It is awaited last, when something else may have failed already.
  record.catch(() => {});
  const [history, forecast] = await Promise.all([
    historyOf(symbol, HISTORY_DAYS, signal),
    orProblem(forecastOf(symbol, signal)),
  ]);
  const isQuick = await Promise.race([record.then(() => true), wait(RECORD_MS)]);
  signal.throwIfAborted();
  const { symbol: found, security_name: name, etf } = history;
  head(found, etf ? "Exchange-traded fund" : "", name);
  if (byId("query").value === symbol) putIntoSearch(found);
  // Charts take the width of what is shown.
  show("symbol");
  showForecast(forecast, history, again);
  showHistory(history, forecast);
  if (!isQuick) awaitRecord();
  fillEstimate(history);
  say(summary(history, forecast));
  return async () => {
    const answer = await record;
    signal.throwIfAborted();
    showRecord(answer, again);
  };
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Reload the symbol, from a button that the reload removes. */
function again() {
  byId("main").focus({ preventScroll: true });
  route();
}

/** Without a forecast or a record the rest is still worth seeing; without a key it is not. */
async function orProblem(answer) {
  try {
    return await answer;
  } catch (problem) {
    if (problem.status === undefined || problem.status === 401) throw problem;
    return problem;
  }
}

function summary({ symbol }, forecast) {
  if (forecast instanceof Error) {
    return forecast.status === 404
      ? `${symbol}: there is no forecast.`
      : `${symbol}: the forecast could not be loaded.`;
  }
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
  head(symbol);
  const words = problem.near.length ? "Did you mean one of these?" : "Search by a part of the symbol or the name.";
  const near = problem.near.map((one) => el("button", { type: "button", onclick: () => goTo(one) }, one));
  showProblem("There is no such symbol", words, near);
}

function explainFailure(problem) {
  const titles = { [UNREACHABLE]: "The server cannot be reached", 503: "The service is not ready" };
  head(symbolInAddress() || NAME);
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
  head(NAME);
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
