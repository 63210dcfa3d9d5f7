// Counts, times and spans in words. Nothing here touches the page, so the tests run it without a browser.

export const number = (value) => Number(value ?? 0).toLocaleString("en-GB");

export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

// A part of a whole that is neither nothing nor everything is never shown as 0 or 100 %.
export function share(part, whole) {
  const percent = whole ? (100 * part) / whole : 0;
  if (percent > 0 && percent < 1) return "under 1 %";
  if (percent > 99 && percent < 100) return "over 99 %";
  return `${Math.round(percent)} %`;
}

// Times are shown in UTC, as Auth0's log and the routes' schedules have them.
export function time(iso) {
  return iso ? `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC` : "never";
}

export const spot = ({ log_id: id, date }) => (id ? `${id} (${time(date)})` : time(date));

// For the axes and the bars of a chart, by seconds since 1970 and by ISO 8601.
const inUtc = (seconds, options) => new Date(seconds * 1000).toLocaleString("en-GB", { timeZone: "UTC", ...options });
export const day = (seconds) => inUtc(seconds, { day: "numeric", month: "short" });
export const hour = (seconds) => inUtc(seconds, { hour: "2-digit", minute: "2-digit" });

export function period(from, to) {
  const end = to.slice(11, 16);
  return `${from.slice(0, 10)} ${from.slice(11, 16)} to ${end === "00:00" ? "24:00" : end}`;
}

const short = new Intl.NumberFormat("en-GB", { notation: "compact" });
export const compact = (value) => short.format(value);

const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

// Whole units, rounded down: days with hours, hours with minutes, or one unit alone.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "not known";
  const at = UNITS.findIndex(([size]) => seconds >= size);
  if (at < 0) return "none";
  const [size, unit] = UNITS[at];
  const words = count(Math.floor(seconds / size), unit);
  const [smaller, name] = UNITS[at + 1] ?? [1];
  const rest = Math.floor((seconds % size) / smaller);
  return rest && smaller >= 60 ? `${words} ${count(rest, name)}` : words;
}

export const every = (seconds) => `every ${span(seconds).replace(/^1 (?=\w+$)/, "")}`;

export function ago(iso, now) {
  if (!iso) return "never";
  const seconds = (Date.parse(now) - Date.parse(iso)) / 1000;
  if (Math.abs(seconds) < 1) return "just now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

export const lasting = (iso, now) => span(Math.max(1, (Date.parse(now) - Date.parse(iso)) / 1000));

export function since(iso, now) {
  return iso ? `${time(iso)}, ${ago(iso, now)}` : "never";
}

// What the page says first about all routes.
export function verdict(routes) {
  if (!routes.length) return "There are no routes here that you may see.";
  const [good, fresh] = ["well", "new"].map((code) => routes.filter(({ state }) => state.code === code).length);
  const bad = routes.length - good - fresh;
  const paused = routes.filter((route) => route.paused).length;
  const all = routes.length === 1 ? "The one route" : `All ${number(routes.length)} routes`;
  const some = (value) => (value === routes.length ? all : `${number(value)} of ${number(routes.length)} routes`);
  const be = (value) => (value === 1 ? "is" : "are");
  const have = (value) => (value === 1 ? "has" : "have");
  const sentences = [
    bad ? `${some(bad)} ${be(bad)} unhealthy` : good ? `${some(good)} ${be(good)} healthy` : `${all} ${have(fresh)} not run yet`,
  ];
  if (fresh && fresh < routes.length) sentences.push(`${number(fresh)} ${have(fresh)} not run yet`);
  if (paused) sentences.push(`${number(paused)} ${be(paused)} paused`);
  return `${sentences.join(". ")}.`;
}

// A bucket of the Management API's requests; runs of older versions do not say what was left.
export function left({ api_limit: limit, api_remaining: remaining, api_rate: rate }) {
  const known = remaining !== null && remaining !== undefined;
  const words = known ? `${number(remaining)}${limit ? ` of ${number(limit)}` : ""} left` : "";
  return [words, granted(rate)].filter(Boolean).join(", ");
}

export function granted(rate) {
  if (!rate) return "";
  const minute = Math.round(rate * 60);
  return `${minute ? number(minute) : "under 1"} a minute`;
}
