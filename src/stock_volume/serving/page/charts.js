/** The two charts, drawn by uPlot on a canvas in the colours of the style sheet. */

import { el } from "./dom.js";
import { compact, dayLabel, monthLabel, shortDate } from "./format.js";

/* global uPlot */

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const COLOURS = ["text", "muted", "line", "surface", "bar", "forecast", "band", "band-edge"];
const NARROW = 500;
const LABEL_WIDTH = 84;
const FEW_SESSIONS = 70;
const WEEK_MS = 7 * 86_400_000;
// 1970-01-05 was a Monday.
const FIRST_MONDAY_MS = 4 * 86_400_000;

/** Every chart on the page by its element: to be drawn anew in other colours or widths. */
const drawn = new Map();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const draw of drawn.values()) draw();
});

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const canvas = target.querySelector(".uplot");
    // The height is ours, so that only another width asks for a new chart.
    if (canvas && canvas.offsetWidth !== target.clientWidth) drawn.get(target)?.();
  }
});

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/**
 * Put a chart into an element, and keep it up to date.
 *
 * Sessions stand at equal distances, one after the other: days without trading take no room.
 *
 * @param host - The element.
 * @param label - What the chart shows, in words.
 * @param dates - The session at each place.
 * @param columns - A list of values for each series.
 * @param parts - Gives {series, bands, after, top, readout} for a palette and a width.
 */
function chart(host, label, dates, columns, parts) {
  const plot = el("div", { class: "plot", role: "img", "aria-label": label });
  const line = el("p", { class: "readout", "aria-hidden": "true" });
  host.replaceChildren(line, plot);
  let plotted = null;
  const draw = () => {
    if (!plot.isConnected || !plot.clientWidth) return;
    const palette = colours();
    const { series, bands = [], after = () => {}, top, readout } = parts(palette, plot.clientWidth);
    const rest = readout(null);
    line.textContent = rest;
    plotted?.destroy();
    const options = {
      width: plot.clientWidth,
      height: plot.clientWidth < NARROW ? 220 : 280,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: [-0.75, dates.length - 0.25 + dates.length / 80] },
        y: { range: [0, top * 1.05 || 1] },
      },
      axes: axes(dates, palette),
      series: [{}, ...series],
      bands,
      hooks: {
        draw: [after],
        setCursor: [
          ({ cursor }) => {
            const inside = cursor.idx !== null && cursor.idx !== undefined && cursor.left >= 0;
            line.textContent = inside ? readout(cursor.idx) : rest;
          },
        ],
      },
    };
    plotted = new uPlot(options, [dates.map((_, place) => place), ...columns], plot);
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

function axes(dates, palette) {
  const common = {
    stroke: palette.muted,
    font: FONT,
    ticks: { show: false },
    border: { show: false },
  };
  const few = dates.length <= FEW_SESSIONS;
  const label = few ? dayLabel : monthLabel;
  return [
    {
      ...common,
      grid: { show: false },
      ticks: { show: true, stroke: palette.line, size: 5, width: 1 },
      size: 32,
      splits: (plot) => periodStarts(dates, few, plot.bbox.width / uPlot.pxRatio),
      values: (_, places) => places.map((place) => label(dates[place])),
    },
    {
      ...common,
      grid: { stroke: palette.line, width: 1 },
      size: 62,
      values: (_, values) => values.map(compact),
    },
  ];
}

/** Places of the first sessions of weeks or months, as many as there is room for. */
function periodStarts(dates, weekly, width) {
  const period = weekly
    ? (date) => Math.floor((Date.parse(date) - FIRST_MONDAY_MS) / WEEK_MS)
    : (date) => date.slice(0, 7);
  const starts = dates.flatMap((date, place) =>
    place && period(date) !== period(dates[place - 1]) ? [place] : [],
  );
  const step = Math.ceil(starts.length / Math.max(1, Math.floor(width / LABEL_WIDTH)));
  return starts.filter((_, place) => place % step === 0);
}

/** Bars of volume, and the next session's forecast after them with its error bar, if there is one. */
export function volumeChart(host, bars, forecast) {
  const volumes = bars.map((bar) => bar.Volume);
  const dates = bars.map((bar) => bar.Date);
  if (forecast) {
    dates.push(forecast.session);
    volumes.push(null);
  }
  const { q10, q90 } = forecast?.quantiles ?? {};
  const label =
    `Bars of daily volume, ${shortDate(bars[0].Date)} to ${shortDate(bars.at(-1).Date)}` +
    (forecast ? `, and the forecast for ${shortDate(forecast.session)}` : "");
  chart(host, label, dates, [volumes], (palette) => ({
    top: Math.max(...volumes, q90 ?? 0),
    series: [
      {
        fill: palette.bar,
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars({ size: [0.72, 40] }),
      },
    ],
    after: (plot) => forecast && errorBar(plot, dates.length - 1, forecast.forecast, q10, q90, palette),
    readout: (place) => {
      if (place === null) return "Shares traded a day";
      if (place < bars.length) return `${shortDate(dates[place])}: ${compact(volumes[place])} shares`;
      return (
        `${shortDate(dates[place])}: forecast ${compact(forecast.forecast)} shares, ` +
        `${compact(q10)} to ${compact(q90)}`
      );
    },
  }));
}

function errorBar(plot, place, value, low, high, palette) {
  const { ctx } = plot;
  const ratio = uPlot.pxRatio;
  const x = Math.round(plot.valToPos(place, "x", true));
  const y = (shares) => plot.valToPos(shares, "y", true);
  const cap = 4 * ratio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = palette.forecast;
  ctx.lineWidth = 2 * ratio;
  ctx.beginPath();
  ctx.moveTo(x, y(low));
  ctx.lineTo(x, y(high));
  for (const end of [low, high]) {
    ctx.moveTo(x - cap, y(end));
    ctx.lineTo(x + cap, y(end));
  }
  ctx.stroke();
  ctx.beginPath();
  ctx.arc(x, y(value), 4.5 * ratio, 0, 2 * Math.PI);
  ctx.fill();
  ctx.restore();
}

/** Forecasts of the backtest with their bands, and the volumes that came true. */
export function recordChart(host, rows) {
  const dates = rows.map((row) => row.session);
  const of = (name) => rows.map((row) => row[name]);
  const columns = [of("q10"), of("q90"), of("forecast"), of("volume")];
  const label =
    `Forecast, its interval and what came true, ${shortDate(dates[0])} to ${shortDate(dates.at(-1))}`;
  chart(host, label, dates, columns, (palette, width) => {
    const edge = { stroke: palette["band-edge"], width: 1, points: { show: false } };
    const size = width < NARROW ? 6 : 8;
    return {
      top: Math.max(...columns.flat()),
      bands: [{ series: [2, 1], fill: palette.band }],
      series: [
        edge,
        edge,
        { stroke: palette.forecast, width: 2, points: { show: false } },
        {
          paths: () => null,
          points: { show: true, size, fill: palette.text, stroke: palette.surface, width: 1 },
        },
      ],
      readout: (place) => {
        if (place === null) return `Shares, the last ${rows.length} sessions scored`;
        const { session, volume, forecast, q10, q90 } = rows[place];
        return (
          `${shortDate(session)}: ${compact(volume)} came true, forecast ${compact(forecast)}, ` +
          `${compact(q10)} to ${compact(q90)}`
        );
      },
    };
  });
}

/** What the marks of a chart mean: pairs of a mark's class and words. */
export function legend(...pairs) {
  const items = pairs.map(([mark, words]) => el("li", {}, el("span", { class: `mark ${mark}` }), words));
  return el("ul", { class: "legend" }, ...items);
}
