// What was delivered over time: one plot for each thing counted, so that nothing depends on telling colours apart, and a table.
import { h, table } from "./dom.js";
import { compact, count, day, hour, number, period, share, time } from "./words.js";

const SERIES = [
  ["delivered", "Delivered", "--bar"],
  ["dead_lettered", "Dead-lettered", "--bar-bad"],
  ["repeated", "Repeated", "--bar-quiet"],
];
const HOUR = 3600;
const DAY = 24 * HOUR;
const HEIGHT = 150;
const STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));

export function chart(history) {
  const rows = history.buckets.map((bucket) => [time(bucket.since), ...SERIES.map(([key]) => number(bucket[key]))]);
  const columns = [["From"], ...SERIES.map(([, name]) => [name, "number"])];
  return [
    h("p", { class: "readout quiet", id: "readout", "aria-hidden": "true" }, "Point at a bar for its numbers. Times are UTC."),
    SERIES.map((series) => place(history, series)),
    history.cut_at &&
    h("p", {}, `Only the last ${count(history.runs, "run")} are added up, those since ${time(history.cut_at)}.`),
    h(
      "details",
      { id: "as-table" },
      h("summary", {}, "The same as a table"),
      table("Events by the end of their run", columns, rows, ""),
    ),
    types(history),
  ];
}

function place(history, [key, name]) {
  const values = history.buckets.map((bucket) => bucket[key]);
  const total = values.reduce((sum, value) => sum + value, 0);
  const most = Math.max(...values);
  const heading = h("h3", {}, `${name}: ${number(total)}`);
  if (!most) return heading;
  const peak = history.buckets[values.indexOf(most)];
  const label = `${name} over time: ${number(total)} in all, at most ${number(most)} in a bar, from ${
    time(peak.since)
  }. The table below has all numbers.`;
  return [heading, h("div", { class: "plot", role: "img", "aria-label": label, "data-series": key })];
}

// Draws the plots into their places, which have a width once they are on the page; again where that or the theme changes.
let drawn = null;
const resized = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = drawn?.plots.get(target);
    if (plot && plot.width !== Math.floor(contentRect.width)) {
      plot.setSize({ width: Math.floor(contentRect.width), height: HEIGHT });
    }
  }
});

export function draw(history = drawn?.history) {
  resized.disconnect();
  for (const plot of drawn?.plots.values() ?? []) plot.destroy();
  drawn = history && { history, plots: new Map() };
  for (const element of history ? document.querySelectorAll(".plot") : []) {
    drawn.plots.set(element, plotted(history, element));
    resized.observe(element);
  }
}

function plotted(history, element) {
  const [key, , colour] = SERIES.find(([name]) => name === element.dataset.series);
  const style = getComputedStyle(document.documentElement);
  const line = { stroke: style.getPropertyValue("--line"), width: 1 };
  const axis = {
    stroke: style.getPropertyValue("--quiet"),
    grid: line,
    ticks: { ...line, size: 4 },
    font: "12px system-ui, sans-serif",
  };
  const starts = history.buckets.map((bucket) => Date.parse(bucket.since) / 1000);
  const options = {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 20, 0, 0],
    tzDate: (seconds) => globalThis.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, sync: { key: "delivered" } },
    scales: {
      x: { time: true, range: [starts[0], Date.parse(history.until) / 1000] },
      y: { range: (_plot, _least, most) => [0, Math.max(2, Math.ceil(most * 1.08))] },
    },
    axes: [
      { ...axis, space: 64, incrs: [HOUR, 3 * HOUR, 6 * HOUR, DAY, 2 * DAY, 7 * DAY], size: 40, values: moments },
      { ...axis, space: 24, incrs: STEPS, size: 52, values: (_plot, splits) => splits.map(compact) },
    ],
    series: [{}, {
      fill: style.getPropertyValue(colour),
      width: 0,
      points: { show: false },
      paths: globalThis.uPlot.paths.bars({ size: [0.85], align: 1 }),
    }],
    hooks: { setCursor: [(plot) => read(history, starts, plot)] },
  };
  return new globalThis.uPlot(options, [starts, history.buckets.map((bucket) => bucket[key])], element);
}

function moments(_plot, splits, _axis, _space, step) {
  return splits.map((seconds, at) => {
    if (step >= DAY) return day(seconds);
    return at === 0 || seconds % DAY === 0 ? `${hour(seconds)}\n${day(seconds)}` : hour(seconds);
  });
}

// Says the numbers of the bar that is pointed at.
function read(history, starts, plot) {
  const readout = document.getElementById("readout");
  if (!readout || plot.cursor.left < 0) return;
  const at = starts.findLastIndex((start) => start <= plot.posToVal(plot.cursor.left, "x"));
  if (at < 0) return;
  const words = SERIES.map(([key, name]) => `${number(history.buckets[at][key])} ${name.toLowerCase()}`);
  readout.textContent = `${period(history.buckets[at].since, history.buckets[at + 1]?.since ?? history.until)}: ${
    words.join(", ")
  }`;
}

function types(history) {
  const entries = Object.entries(history.types);
  const total = entries.reduce((sum, [, events]) => sum + events, history.other_types);
  const part = (events) => [h("meter", { value: events, max: total, "aria-hidden": "true" }), ` ${share(events, total)}`];
  const rows = entries.map(([type, events]) => [h("code", {}, type || "(none)"), number(events), part(events)]);
  if (history.other_types) rows.push(["other types", number(history.other_types), part(history.other_types)]);
  return [
    h("h3", {}, "By log type"),
    h(
      "div",
      { class: "narrow" },
      table(
        "Events selected by the runs that delivered",
        [["Log type"], ["Events", "number"], ["Share"]],
        rows,
        "Nothing was delivered in this time.",
      ),
    ),
  ];
}
