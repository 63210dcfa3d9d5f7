// What was delivered over time: one row of bars for each thing counted, so that nothing depends on telling colours apart.
import { h, table } from "./dom.js";
import { count, number, share, time } from "./words.js";

const SERIES = [["delivered", "Delivered"], ["dead_lettered", "Dead-lettered"], ["repeated", "Repeated"]];

export function chart(history) {
  const rows = history.buckets.map((bucket) => [time(bucket.since), ...SERIES.map(([key]) => number(bucket[key]))]);
  const columns = [["From"], ...SERIES.map(([, name]) => [name, "number"])];
  return [
    SERIES.map(([key, name]) => bars(history.buckets, key, name)),
    h("p", { class: "axis", "aria-hidden": "true" }, h("span", {}, time(history.buckets[0].since)), h("span", {}, "now")),
    history.cut_at &&
    h("p", {}, `Only the last ${count(history.runs, "run")} are added up, those since ${time(history.cut_at)}.`),
    h("details", {}, h("summary", {}, "The same as a table"), table("Events by the time of their run", columns, rows, "")),
    types(history),
  ];
}

function bars(buckets, key, name) {
  const values = buckets.map((bucket) => bucket[key]);
  const total = values.reduce((sum, value) => sum + value, 0);
  const most = Math.max(...values);
  const heading = h(
    "h3",
    {},
    `${name}: ${number(total)}`,
    most ? h("span", { class: "quiet" }, ` (at most ${number(most)} a bar)`) : "",
  );
  if (!most) return heading;
  const width = 100 / values.length;
  const rects = values.map((value, at) =>
    h(
      "rect",
      { x: at * width, width: width * 0.85, y: 60 - (60 * value) / most, height: (60 * value) / most },
      h("title", {}, `${time(buckets[at].since)}: ${number(value)}`),
    )
  );
  const label = `${name} over time, ${number(total)} in all; the table below has the numbers`;
  return [
    heading,
    h(
      "svg",
      { viewBox: "0 0 100 61", preserveAspectRatio: "none", role: "img", "aria-label": label },
      rects,
      h("line", { x1: 0, x2: 100, y1: 60.5, y2: 60.5, "vector-effect": "non-scaling-stroke" }),
    ),
  ];
}

function types(history) {
  const entries = Object.entries(history.types);
  const total = entries.reduce((sum, [, events]) => sum + events, history.other_types);
  const part = (events) => [
    h("meter", { value: events, max: total, "aria-hidden": "true" }),
    ` ${share(events, total)}`,
  ];
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
