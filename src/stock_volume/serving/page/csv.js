/** Downloads as CSV (RFC 4180). */

import { el } from "./dom.js";

/**
 * @param name - Of the file, without its ending.
 * @param columns - Names of the columns.
 * @param rows - Lists of values; null is left empty.
 */
export function downloadCsv(name, columns, rows) {
  const text = [columns, ...rows].map((row) => row.map(field).join(",")).join("\r\n");
  const address = URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" }));
  el("a", { href: address, download: `${name.replace(/[^\w.-]+/g, "_")}.csv` }).click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function field(value) {
  const text = value === null || value === undefined ? "" : String(value);
  // A spreadsheet would run a name that begins like a formula.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
