/** The page: what the address names, and what is to be seen of it. */

import { addressOfEstimator, addressOfSymbol, changeParams, readAddress } from "./address.js";
import * as api from "./api.js";
import { redraw } from "./charts.js";
import { MAX_COMPARED, showComparison } from "./compare.js";
import { byId, el, say, show } from "./dom.js";
import { estimateForm, fillEstimate, unfillEstimate } from "./estimator.js";
import { awaitExplanation, showExplanation } from "./explanation.js";
import { showForecast } from "./forecast.js";
import { inWords, longDate, shortName } from "./format.js";
import { chooseRange, chosenMonths, showHistory } from "./history.js";
import { showModels } from "./models.js";
import { awaitRecord, showRecord } from "./record.js";
import { describeScreener, rowOf, showScreener } from "./screener.js";
import { searchBox } from "./search.js";
import { isWatched, onWatchlist, toggleWatched } from "./watchlist.js";

const NAME = "Trading volume forecasts";
const FOUND = 8;
const THEME = "stock_volume.theme";
const THEMES = ["", "light", "dark"];
const HISTORY_DAYS = 731;
const PATIENCE_MS = 250;
/** How long the rest waits for the record, to be shown with it at once. */
const RECORD_MS = 100;
const UNREACHABLE = 0;

/** What is being loaded: aborted as soon as another symbol is asked for. */
let loading = new AbortController();
let retrying = null;
/** The symbol in the address of what is shown, and the history of the symbol that was shown last. */
let shown = null;
let own = null;

const find = (query, signal) => api.findSymbols(query, FOUND, signal);
const failed = (problem) => explain(problem) || say(problem.message);
const putIntoSearch = searchBox("", find, goTo, failed);
const putIntoCompare = searchBox("compare-", find, addCompared, failed);
estimateForm((problem) => problem.status === 401 && explain(problem));
window.addEventListener("hashchange", route);
byId("retry").addEventListener("click", start);
byId("key-form").addEventListener("submit", useKey);
byId("theme").addEventListener("click", changeTheme);
byId("watch").addEventListener("click", () => toggleWatched(own.symbol));
onWatchlist(markWatched);
byId("skip").addEventListener("click", (event) => {
  // A fragment would be taken for a symbol.
  event.preventDefault();
  byId("main").focus();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  byId("query").focus();
});
function start() {
  loadModels();
  route();
}

const theme = () => document.documentElement.dataset.theme ?? "";

function changeTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem(THEME, next);
  nameTheme();
  redraw();
  say(byId("theme").textContent);
}

function nameTheme() {
  byId("theme").textContent = `Theme: ${theme() || "auto"}`;
}

function markWatched() {
  const watched = own !== null && isWatched(own.symbol);
  byId("watch").setAttribute("aria-pressed", String(watched));
  byId("watch").textContent = `${watched ? "\u2605" : "\u2606"} Watch`;
}

function goTo(symbol) {
  const fragment = addressOfSymbol(symbol);
  if (location.hash === fragment) route();
  else location.hash = fragment;
}

async function route() {
  loading.abort();
  clearTimeout(retrying);
  const { signal } = (loading = new AbortController());
  const { view, symbol, params } = readAddress();
  putIntoSearch(symbol);
  putIntoCompare("");
  byId("main").setAttribute("aria-busy", "true");
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // A quick answer replaces what is there at once; only a slow one is waited for visibly.
  const slow = setTimeout(() => {
    head(symbol || NAME);
    show("loading");
    say(symbol ? `Loading ${symbol}…` : "Loading…");
  }, PATIENCE_MS);
  try {
    const rest = await VIEWS[view](symbol, params, signal);
    clearTimeout(slow);
    if (shown !== null && shown !== symbol) scrollTo(0, 0);
    shown = symbol;
    markWatched();
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

/** Each shows what is there first, and returns what shows the rest. */
const VIEWS = {
  async screener(_, params, signal) {
    const fill = await showScreener(params, signal);
    signal.throwIfAborted();
    head(NAME, describeScreener());
    // Rows are counted by the height of what is shown.
    show("screener");
    fill();
    return () => {};
  },

  async estimator(_, params, signal) {
    const symbol = params.get("symbol");
    const history = symbol ? await api.historyOf(symbol, 1, signal) : null;
    head("Estimator");
    show("estimator");
    if (history) fillEstimate(history);
    else unfillEstimate();
    say("Estimator of the same day's volume.");
    return () => {};
  },

  symbol: showSymbol,
};

async function showSymbol(symbol, params, signal) {
  const record = orProblem(api.recordOf(symbol, signal));
  const explanation = orProblem(api.explanationOf(symbol, signal));
  // They are awaited last, when something else may have failed already.
  for (const later of [record, explanation]) later.catch(() => {});
  const [history, forecast] = await Promise.all([
    api.historyOf(symbol, HISTORY_DAYS, signal),
    orProblem(api.forecastOf(symbol, signal)),
  ]);
  const isQuick = await Promise.race([Promise.all([record, explanation]).then(() => true), wait(RECORD_MS)]);
  signal.throwIfAborted();
  const { symbol: found, security_name: name, etf } = history;
  head(found, etf ? "Exchange-traded fund" : "", name);
  if (byId("query").value === symbol) putIntoSearch(found);
  byId("to-estimator").href = addressOfEstimator(found);
  chooseRange(params.get("range"));
  // Charts take the width of what is shown.
  show("symbol");
  showForecast(forecast, history, again);
  showHistory(history, forecast, compareAgain);
  if (!isQuick) {
    awaitRecord();
    awaitExplanation();
  }
  say(summary(history, forecast));
  const comparing = compare(history, signal);
  return async () => {
    const shows = (later, showIt) => later.then((answer) => signal.aborted || showIt(answer, again));
    await Promise.all([shows(explanation, showExplanation), shows(record, showRecord), comparing]);
  };
}

const compared = () => readAddress().params.getAll("compare");

async function compare(history, signal) {
  own = history;
  const others = compared()
    .filter((symbol) => symbol !== history.symbol)
    .slice(0, MAX_COMPARED - 1);
  const known = await Promise.all(others.map((symbol) => orProblem(api.historyOf(symbol, HISTORY_DAYS, signal))));
  const histories = [history, ...known.filter((one) => !(one instanceof Error))];
  const unknown = others.filter((_, place) => known[place] instanceof Error);
  const rows = histories.length > 1 ? await Promise.all(histories.map(({ symbol }) => rowOf(symbol, signal))) : [];
  signal.throwIfAborted();
  showComparison(histories, rows, unknown, chosenMonths(), removeCompared);
}

function compareAgain() {
  compare(own, loading.signal).catch((problem) => loading.signal.aborted || explain(problem));
}

function addCompared(symbol) {
  putIntoCompare("");
  byId("compare-query").value = "";
  changeParams({ compare: [...new Set([...compared(), symbol])].filter((one) => one !== own.symbol) });
  compareAgain();
}

function removeCompared(symbol) {
  changeParams({ compare: compared().filter((one) => one !== symbol) });
  byId("main").focus({ preventScroll: true });
  compareAgain();
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
    showModels(await api.models());
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
  head(readAddress().symbol || NAME);
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
  const refused = api.storedKey() !== null;
  api.storeKey(null);
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
  api.storeKey(key);
  start();
}

nameTheme();
start();
