/**
 * What the address shows: "#AAPL?range=12&compare=MSFT" a symbol, "#/estimator" the estimator,
 * and "#?sort=symbol" the screener. No symbol has a slash.
 */

const ESTIMATOR = "/estimator";

/** Read the address: {view, symbol, params}. */
export function readAddress() {
  const [path, query] = parts();
  if (path === ESTIMATOR) return { view: "estimator", symbol: "", params: new URLSearchParams(query) };
  const symbol = decoded(path);
  return { view: symbol ? "symbol" : "screener", symbol, params: new URLSearchParams(query) };
}

export const addressOfSymbol = (symbol) => `#${encodeURIComponent(symbol)}`;
export const addressOfEstimator = (symbol) => `#${ESTIMATOR}?${new URLSearchParams({ symbol })}`;

/**
 * Replace the parameters of the address, without another entry in the history of the browser.
 *
 * @param changes - Values by name: a text, a list of texts, or null to leave it out.
 */
export function changeParams(changes) {
  const [path, query] = parts();
  const params = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== "") params.append(name, one);
  }
  history.replaceState(null, "", `#${path}${params.size ? `?${params}` : ""}`);
}

function parts() {
  const fragment = location.hash.slice(1);
  const at = fragment.indexOf("?");
  return at < 0 ? [fragment, ""] : [fragment.slice(0, at), fragment.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
