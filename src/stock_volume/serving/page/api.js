/** The service's answers, and its refusals as errors. */

const KEY = "stock_volume.api_key";
const SECONDS = 20;

/** A refusal (RFC 9457), or a server that does not answer: status 0. */
export class Problem extends Error {
  constructor(status, { detail, errors, near } = {}, retryAfter = null) {
    super(detail || `The server answered with status ${status}.`);
    this.status = status;
    this.errors = errors ?? [];
    this.near = near ?? [];
    this.retryAfter = retryAfter;
  }
}

export const storedKey = () => sessionStorage.getItem(KEY);

export function storeKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/**
 * Ask the service. Paths are relative to the page, so that it works below a prefix, too.
 * An aborted signal rejects with its own reason, anything else that fails with a Problem.
 */
async function ask(path, { query = {}, signal } = {}) {
  const address = `${path}?${new URLSearchParams(query)}`.replace(/\?$/, "");
  const key = storedKey();
  const headers = { accept: "application/json", ...(key && { "X-API-Key": key }) };
  let response;
  try {
    response = await fetch(address, { headers, signal: withTimeout(signal) });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Problem(0, { detail: reason(error) });
  }
  const answer = await response.json().catch(() => null);
  signal?.throwIfAborted();
  if (response.ok && answer !== null) return answer;
  throw new Problem(response.status, answer ?? {}, secondsToWait(response));
}

function withTimeout(signal) {
  const timeout = AbortSignal.timeout(SECONDS * 1000);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function reason(error) {
  if (error.name === "TimeoutError") return `No answer came within ${SECONDS} seconds.`;
  return "No connection to the server. Is it running?";
}

function secondsToWait(response) {
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  return Number.isNaN(seconds) ? null : seconds;
}

const ofSymbol = (symbol) => `symbols/${encodeURIComponent(symbol)}`;

export const findSymbols = (query, limit, signal) => ask("symbols", { query: { query, limit }, signal });
export const forecastOf = (symbol, signal) => ask(`forecast/${encodeURIComponent(symbol)}`, { signal });
export const openingOf = (symbol, price) =>
  ask(`forecast/${encodeURIComponent(symbol)}/open`, { query: { price } });
export const explanationOf = (symbol, signal) => ask(`forecast/${encodeURIComponent(symbol)}/explanation`, { signal });
export const allForecasts = (signal) => ask("forecasts", { signal });
export const historyOf = (symbol, days, signal) =>
  ask(`${ofSymbol(symbol)}/history`, { query: { days }, signal });
export const recordOf = (symbol, signal) => ask(`${ofSymbol(symbol)}/record`, { signal });
export const estimate = (averages) => ask("predict", { query: averages });
export const models = () => ask("models");
