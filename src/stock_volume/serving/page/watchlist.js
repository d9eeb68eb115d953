/** The symbols that the reader watches, kept in this browser. */

const KEY = "stock_volume.watchlist";

const symbols = new Set(stored());
const listeners = [];

// Other tabs share the list.
window.addEventListener("storage", ({ key }) => {
  if (key !== KEY) return;
  symbols.clear();
  for (const symbol of stored()) symbols.add(symbol);
  for (const listener of listeners) listener();
});

function stored() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export const isWatched = (symbol) => symbols.has(symbol);

export function toggleWatched(symbol) {
  if (!symbols.delete(symbol)) symbols.add(symbol);
  localStorage.setItem(KEY, JSON.stringify([...symbols]));
  for (const listener of listeners) listener();
}

/** @param listener - Is called whenever the list has changed. */
export const onWatchlist = (listener) => listeners.push(listener);
