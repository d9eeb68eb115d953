/** What is derived from a symbol's row of the list of all forecasts. */

/** Sessions below which a comparison with them says little. */
const FEW = 20;
const BUSY = 0.9;

/** The forecast over the 30-day mean; null where one is unknown. */
export const ratioOf = ({ forecast, vol_moving_avg: mean }) => (forecast !== null && mean ? forecast / mean : null);

/** The width of the interval, as a ratio. */
export const widthOf = ({ quantiles }) => (quantiles && quantiles.q10 > 0 ? quantiles.q90 / quantiles.q10 : null);

/** From -1, quieter than all recent sessions, to 1, busier than all; null where they are few. */
export function unusualnessOf({ recent_sessions: recent, busier_sessions: busier, quieter_sessions: quieter }) {
  return recent === null || recent < FEW ? null : (quieter - busier) / recent;
}

/** Whether the forecast is busier than nine of ten recent sessions. */
export function isBusy({ recent_sessions: recent, quieter_sessions: quieter }) {
  return recent !== null && recent >= FEW && quieter / recent >= BUSY;
}

/** How unusual the forecast is, in words; empty where that is unknown. */
export function unusualness({ recent_sessions: recent, busier_sessions: busier, quieter_sessions: quieter }) {
  if (recent === null || recent < FEW) return "";
  const [word, count] = busier >= quieter ? ["quieter", busier] : ["busier", quieter];
  return `${word} than ${count} of ${recent}`;
}
