/** Numbers and dates, as people read them. */

import { el } from "./dom.js";

const NARROW_SPACE = "\u202f";
const MINUS = "\u2212";
const UTC = { timeZone: "UTC" };

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const spoken = new Intl.NumberFormat("en", {
  notation: "compact",
  compactDisplay: "long",
  maximumSignificantDigits: 3,
});
const oneDecimal = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const atMostTwo = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const longDay = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", ...UTC });
const shortDay = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", ...UTC });
const dayOfMonth = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", ...UTC });
const monthOfYear = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", ...UTC });

/** 142600000 as "143 M". */
export function compact(value) {
  return short
    .formatToParts(value)
    .map((part) => (part.type === "compact" ? NARROW_SPACE + part.value : part.value))
    .join("");
}

export const full = (value) => whole.format(value);
export const inWords = (value) => spoken.format(value);
export const percent = (value) => perCent(oneDecimal, value);
export const wholePercent = (value) => perCent(whole, value);
export const toCents = (value) => atMostTwo.format(value);

/** A change in per cent, signed: "+2.0 %". */
export const signedPercent = (value) => `${value > 0 ? "+" : ""}${percent(value)}`;

function perCent(format, value) {
  return `${format.format(value).replace("-", MINUS)}${NARROW_SPACE}%`;
}

/** How far a volume lies from its 30-day mean, in words; null without such a mean. */
export function againstMean(volume, mean) {
  if (!mean) return null;
  const ratio = volume / mean;
  if (ratio >= 2) return `${oneDecimal.format(ratio)} times its 30-day mean`;
  const away = Math.round(100 * Math.abs(ratio - 1));
  if (!away) return "at its 30-day mean";
  return `${wholePercent(away)} ${ratio < 1 ? "below" : "above"} its 30-day mean`;
}

/** A ratio as a signed change: "+12 %", or "2.8 times" from twice on; null for null. */
export function change(ratio) {
  if (ratio === null) return null;
  if (ratio >= 2) return `${oneDecimal.format(ratio)} times`;
  return factorChange(ratio);
}

/** What a factor changes, signed. */
export function factorChange(factor) {
  const away = Math.round(100 * (factor - 1)) || 0;
  return `${away > 0 ? "+" : ""}${wholePercent(away)}`;
}

const KIND_OF_SHARE =
  /(?:\s+-)?(\s+Class [A-Z])?\s+(?:common|ordinary|capital) (?:stock|shares?)(?: of beneficial interest)?$/i;

/** A security's name without the kind of its shares: "Alphabet Inc. Class C". */
export function shortName(name) {
  const text = (name ?? "").trim();
  return text.replace(KIND_OF_SHARE, "$1") || text;
}

/** A short volume, with the full figure on hover and for machines. */
export function shares(value) {
  return el("data", { value: String(value), title: `${full(value)} shares` }, compact(value));
}

// A date without a time is read as midnight UTC, and must be written in UTC to stay the same day.
export const longDate = (iso) => longDay.format(new Date(iso));
export const shortDate = (iso) => shortDay.format(new Date(iso));
export const dayLabel = (iso) => dayOfMonth.format(new Date(iso));
export const monthLabel = (iso) => monthOfYear.format(new Date(iso));

/** The day of a moment; text that is not a moment stays as it is. */
export function momentDate(text) {
  return Number.isNaN(Date.parse(text)) ? text : shortDate(text);
}
