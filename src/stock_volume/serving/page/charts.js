/** The charts, drawn by uPlot on a canvas in the colours of the style sheet, and a small one. */

import { el } from "./dom.js";
import { compact, dayLabel, monthLabel, shortDate, toCents } from "./format.js";

/* global uPlot */

const FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const COLOURS = [
  ...["text", "muted", "line", "surface", "bar", "mean", "forecast", "miss", "shade", "band", "band-edge"],
  ...["line-0", "line-1", "line-2", "line-3"],
];
/** Dashes of the lines of compared symbols, in pixels: colour alone is not enough. */
const DASHES = [[], [8, 3], [3, 3], [10, 3, 2, 3]];
const NARROW = 500;
const FEW_DAYS = 100;
/** Pixels for a bar and its gap: below it, bars are a grey wall. */
const MIN_PIXELS = 2.5;
const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
// 1970-01-05 was a Monday.
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** Every chart on the page by its element: to be redrawn in other colours or widths. */
const drawn = new Map();

for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  matchMedia(query).addEventListener("change", redraw);
}

/** Draw every chart again, in the colours of now. */
export function redraw() {
  for (const draw of drawn.values()) draw();
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const canvas = target.querySelector(".uplot");
    // The height is ours, so that only another width asks for a new chart.
    if (canvas && canvas.offsetWidth !== target.clientWidth) drawn.get(target)?.();
  }
});

/** The colours as a canvas takes them: of those that the system forces only an element knows. */
function colours() {
  const probe = el("span", { class: "probe" });
  document.body.append(probe);
  const style = getComputedStyle(probe);
  const palette = {};
  for (const name of COLOURS) {
    probe.style.color = `var(--${name})`;
    palette[name] = style.color;
  }
  probe.remove();
  return palette;
}

const rootSize = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

/**
 * Put a chart into an element, and keep it up to date.
 *
 * Sessions are at equal distances: days without trading take no room.
 *
 * @param host - The element.
 * @param parts - Gives what is drawn in a palette, a width and a size of text: {label, dates,
 *   columns, series, top, readout}, and perhaps {next, bands, below, after, floor, values, lines,
 *   sync}. `label` is what the
 *   chart shows, in words; `dates` the session at each place, `columns` the values of each
 *   series; `next` the {session, place, end} of what follows them, with a value in each column.
 *   `floor` is where the axis of values begins, `values` writes them, `lines` is the height in
 *   lines of text, and charts of one `sync` share the place under the pointer.
 */
function chart(host, parts) {
  const plot = el("div", { class: "plot", role: "img" });
  const line = el("p", { class: "readout", "aria-hidden": "true" });
  host.replaceChildren(line, plot);
  let plotted = null;
  const draw = () => {
    if (!plot.isConnected || !plot.clientWidth) return;
    const palette = colours();
    const rem = rootSize();
    const made = parts(palette, plot.clientWidth, rem);
    const { label, dates, columns, series, top, readout, next = null, bands = [] } = made;
    const { below = () => {}, after = () => {}, floor = 0, values = compact, lines = 1, sync } = made;
    const places = [...dates.keys(), ...(next ? [next.place] : [])];
    const rest = readout(null);
    line.textContent = rest;
    plot.setAttribute("aria-label", label);
    plotted?.destroy();
    const options = {
      width: plot.clientWidth,
      height: (plot.clientWidth < NARROW ? 13.75 : 17.5) * lines * rem,
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { show: false },
        ...(sync && { sync: { key: sync } }),
      },
      scales: {
        x: { time: false, range: [-0.75, next ? next.end : dates.length - 0.25] },
        y: { range: [floor, floor + (top - floor) * 1.05 || 1] },
      },
      axes: axes(dates, next, values, palette, rem),
      series: [{}, ...series],
      bands,
      hooks: {
        drawClear: [below],
        draw: [after],
        setCursor: [
          ({ cursor }) => {
            const inside = cursor.idx !== null && cursor.idx !== undefined && cursor.left >= 0;
            line.textContent = inside ? readout(cursor.idx) : rest;
          },
        ],
      },
    };
    plotted = new uPlot(options, [places, ...columns], plot);
  };
  // Charts of symbols that are no longer shown are forgotten.
  for (const old of drawn.keys()) {
    if (!old.isConnected) {
      resized.unobserve(old);
      drawn.delete(old);
    }
  }
  drawn.set(plot, draw);
  resized.observe(plot);
  draw();
}

const axisWidth = (rem) => 3.9 * rem;

function axes(dates, next, format, palette, rem) {
  const common = {
    stroke: palette.muted,
    font: `${0.75 * rem}px ${FAMILY}`,
    ticks: { show: false },
    border: { show: false },
  };
  const few = areFew(dates);
  const label = few ? dayLabel : monthLabel;
  return [
    {
      ...common,
      grid: { show: false },
      ticks: { show: true, stroke: palette.line, size: 5, width: 1 },
      size: 2 * rem,
      splits: (plot) => {
        const starts = periodStarts(dates, few, plot.bbox.width / uPlot.pxRatio / (5.25 * rem));
        if (!next) return starts;
        const clear = next.place - ((few ? 3.2 : 4.2) * rem) / pixelsApart(plot);
        return [...starts.filter((place) => place <= clear), next.place];
      },
      values: (_, places) =>
        places.map((place) => (place === next?.place ? dayLabel(next.session) : label(dates[place]))),
    },
    {
      ...common,
      grid: { stroke: palette.line, width: 1 },
      size: axisWidth(rem),
      space: 2 * rem,
      values: (_, values) => values.map(format),
    },
  ];
}

const areFew = (dates) => Date.parse(dates.at(-1)) - Date.parse(dates[0]) < FEW_DAYS * DAY_MS;

const pixelsApart = (plot) => plot.valToPos(1, "x") - plot.valToPos(0, "x");

const weekOf = (date) => Math.floor((Date.parse(date) - FIRST_MONDAY_MS) / WEEK_MS);

/** Places of the first sessions of weeks or months, not more than there is room for. */
function periodStarts(dates, weekly, room) {
  const period = weekly ? weekOf : (date) => date.slice(0, 7);
  const starts = dates.flatMap((date, place) =>
    place && period(date) !== period(dates[place - 1]) ? [place] : [],
  );
  const step = Math.ceil(starts.length / Math.max(1, Math.floor(room)));
  return starts.filter((_, place) => place % step === 0);
}

/** Weeks in place of sessions: the mean volume of each, and the price and the 30-day mean as it ends. */
function byWeek(bars) {
  const weeks = Object.groupBy(bars, (bar) => weekOf(bar.Date));
  return Object.values(weeks).map((week) => ({
    Date: week[0].Date,
    Volume: week.reduce((sum, bar) => sum + bar.Volume, 0) / week.length,
    "Adj Close": week.at(-1)["Adj Close"],
    mean: week.at(-1).mean,
  }));
}

/**
 * The price above bars of volume, their 30-day mean, and the next session's forecast in a place of
 * its own.
 *
 * @param priceHost - The element of the price.
 * @param volumeHost - The element of the volume.
 * @param bars - {Date, "Adj Close", Volume, mean}, the mean null where it is not known.
 * @param forecast - The forecast, or null.
 */
export function historyCharts(priceHost, volumeHost, bars, forecast) {
  const layOut = (width, rem) => {
    const room = width - axisWidth(rem);
    const weekly = !areFew(bars.map((bar) => bar.Date)) && room / bars.length < MIN_PIXELS;
    const shown = weekly ? byWeek(bars) : bars;
    const next = forecast && afterwards(forecast.session, shown.length, room, rem);
    return { weekly, shown, next, dates: shown.map((bar) => bar.Date), sync: "history" };
  };
  chart(priceHost, (palette, width, rem) => ofPrice(layOut(width, rem), palette));
  chart(volumeHost, (palette, width, rem) => ofVolume(layOut(width, rem), forecast, palette));
}

const span = (shown) => `${shortDate(shown[0].Date)} to ${shortDate(shown.at(-1).Date)}`;

function ofPrice({ weekly, shown, next, dates, sync }, palette) {
  const prices = shown.map((bar) => bar["Adj Close"]);
  const caption = `Adjusted close, dollars${weekly ? ", end of each week" : ""}`;
  return {
    label: `${caption}, as a line from ${span(shown)}`,
    dates,
    next,
    sync,
    columns: [next ? [...prices, null] : prices],
    ...bounds(prices),
    values: (value) => (value >= 10_000 ? compact(value) : toCents(value)),
    lines: 0.6,
    series: [{ stroke: palette.mean, width: 1.5, points: { show: false } }],
    below: (plot) => next && shade(plot, next, palette),
    readout: (place) => {
      if (place === null || place >= shown.length) return caption;
      return `${shortDate(dates[place])}: adjusted close $${toCents(prices[place])}`;
    },
  };
}

/** The axis of a line need not begin at 0: {floor, top}. */
function bounds(values) {
  const known = values.filter((value) => value !== null);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const margin = 0.05 * (most - least || most || 1);
  return { floor: Math.max(0, least - margin), top: most };
}

function ofVolume({ weekly, shown, next, dates, sync }, forecast, palette) {
  const { session } = forecast ?? {};
  const { q10, q90 } = forecast?.quantiles ?? {};
  const own = (values) => (next ? [...values, null] : values);
  const caption = weekly ? "Shares traded a day, mean of each week" : "Shares traded a day";
  return {
    label:
      `${caption}, as bars from ${span(shown)}, ` +
      `with the 30-day mean${next ? `, and the forecast for ${shortDate(session)}` : ""}`,
    dates,
    next,
    sync,
    columns: [own(shown.map((bar) => bar.Volume)), own(shown.map((bar) => bar.mean))],
    top: Math.max(...shown.map((bar) => bar.Volume), q90 ?? 0),
    series: [
      {
        fill: palette.bar,
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars({ size: [shown.length > 100 ? 0.6 : 0.72, 40] }),
      },
      { stroke: palette.mean, width: 1.25, points: { show: false } },
    ],
    below: (plot) => next && shade(plot, next, palette),
    after: (plot) => next && forecastMark(plot, next.place, forecast.forecast, q10, q90, palette),
    readout: (place) => {
      if (place === null) return caption;
      if (place === shown.length) {
        return (
          `${shortDate(session)}: forecast ${compact(forecast.forecast)} shares, ` +
          `${compact(q10)} to ${compact(q90)}`
        );
      }
      const { Date: date, Volume: volume, mean } = shown[place];
      const when = weekly ? `Week of ${shortDate(date)}` : shortDate(date);
      const usual = mean === null ? "" : `, 30-day mean ${compact(mean)}`;
      return `${when}: ${compact(volume)} shares${weekly ? " a day" : ""}${usual}`;
    },
  };
}

/**
 * Lines of several symbols over the same sessions.
 *
 * @param host - The element.
 * @param caption - What the values are.
 * @param compared - {symbol, bars} each.
 * @param valuesOf - Makes the values of a symbol's bars.
 */
export function compareChart(host, caption, compared, valuesOf) {
  const dates = [...new Set(compared.flatMap(({ bars }) => bars.map((bar) => bar.Date)))].sort();
  if (!dates.length) return;
  const columns = compared.map(({ bars }) => {
    const known = new Map(valuesOf(bars).map((value, place) => [bars[place].Date, value]));
    return dates.map((date) => known.get(date) ?? null);
  });
  const names = compared.map(({ symbol }) => symbol);
  chart(host, (palette) => ({
    label: `${caption}: lines of ${names.join(", ")} from ${shortDate(dates[0])} to ${shortDate(dates.at(-1))}`,
    dates,
    columns,
    sync: "compare",
    ...bounds(columns.flat()),
    lines: 0.75,
    values: toCents,
    series: names.map((_, place) => ({
      stroke: palette[`line-${place}`],
      width: 1.75,
      dash: DASHES[place],
      spanGaps: true,
      points: { show: false },
    })),
    readout: (place) => {
      if (place === null) return caption;
      const known = columns.map((values, at) => [names[at], values[place]]).filter(([, value]) => value !== null);
      return `${shortDate(dates[place])}: ${known.map(([name, value]) => `${name} ${toCents(value)}`).join(", ")}`;
    },
  }));
}

/** The position of the forecast: equally wide in every range, however many bars there are. */
function afterwards(session, count, width, rem) {
  const room = (width < NARROW ? 3 : 4.5) * rem;
  const start = count - 0.25;
  const size = (room * (count + 0.5)) / Math.max(room, width - room);
  return { session, start, place: start + size / 2, end: start + size };
}

function shade(plot, { start, end }, palette) {
  const { ctx, bbox } = plot;
  const left = plot.valToPos(start, "x", true);
  ctx.save();
  ctx.fillStyle = palette.shade;
  ctx.fillRect(left, bbox.top, plot.valToPos(end, "x", true) - left, bbox.height);
  ctx.restore();
}

function forecastMark(plot, place, value, low, high, palette) {
  const { ctx } = plot;
  const ratio = uPlot.pxRatio;
  const x = Math.round(plot.valToPos(place, "x", true));
  const y = (shares) => plot.valToPos(shares, "y", true);
  const half = 11 * ratio;
  ctx.save();
  ctx.fillStyle = palette.band;
  ctx.strokeStyle = palette["band-edge"];
  ctx.lineWidth = 1.5 * ratio;
  ctx.fillRect(x - half, y(high), 2 * half, y(low) - y(high));
  ctx.strokeRect(x - half, y(high), 2 * half, y(low) - y(high));
  ctx.fillStyle = palette.forecast;
  ctx.beginPath();
  ctx.arc(x, y(value), 5.5 * ratio, 0, 2 * Math.PI);
  ctx.fill();
  ctx.restore();
}

/** Forecasts of the backtest with their bands, and the actual volumes, with misses marked. */
export function recordChart(host, rows) {
  const dates = rows.map((row) => row.session);
  const of = (name) => rows.map((row) => row[name]);
  const columns = [of("q10"), of("q90"), of("forecast"), of("volume")];
  const misses = rows.filter(isMiss).length;
  chart(host, (palette, width) => {
    const edge = { stroke: palette["band-edge"], width: 1, points: { show: false } };
    return {
      label:
        `Forecast, its interval and the actual volume, ${shortDate(dates[0])} to ` +
        `${shortDate(dates.at(-1))}: ${misses} of ${rows.length} volumes outside the interval`,
      dates,
      columns,
      top: Math.max(...columns.flat()),
      bands: [{ series: [2, 1], fill: palette.band }],
      series: [
        edge,
        edge,
        { stroke: palette.forecast, width: 2, points: { show: false } },
        { paths: () => null, points: { show: false } },
      ],
      after: (plot) => volumeMarks(plot, rows, width < NARROW ? 3 : 4, palette),
      readout: (place) => {
        if (place === null) return `Shares, the last ${rows.length} sessions scored`;
        const { session, volume, forecast, q10, q90 } = rows[place];
        return (
          `${shortDate(session)}: actual ${compact(volume)}, forecast ${compact(forecast)}, ` +
          `${compact(q10)} to ${compact(q90)}`
        );
      },
    };
  });
}

/** Whether a volume fell outside the interval of its forecast. */
export const isMiss = ({ volume, q10, q90 }) => volume < q10 || volume > q90;

/** Dots, and diamonds where the interval was missed: colour alone is not enough. */
function volumeMarks(plot, rows, size, palette) {
  const { ctx } = plot;
  const ratio = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = palette.surface;
  ctx.lineWidth = ratio;
  rows.forEach((row, place) => {
    const x = plot.valToPos(place, "x", true);
    const y = plot.valToPos(row.volume, "y", true);
    ctx.fillStyle = isMiss(row) ? palette.miss : palette.text;
    ctx.beginPath();
    if (isMiss(row)) {
      const half = 1.6 * size * ratio;
      ctx.moveTo(x, y - half);
      ctx.lineTo(x + half, y);
      ctx.lineTo(x, y + half);
      ctx.lineTo(x - half, y);
      ctx.closePath();
    } else ctx.arc(x, y, size * ratio, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
  });
  ctx.restore();
}

/** What the marks of a chart mean: pairs of a mark's class and words. */
export function legend(...pairs) {
  const items = pairs.map(([mark, words]) => el("li", {}, el("span", { class: `mark ${mark}` }), words));
  return el("ul", { class: "legend" }, ...items);
}
