// Makes elements and links. Nothing here takes HTML: what a tenant or a webhook says is only ever text.

import { time } from "./words.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Words for a time, with the time itself for who points at them.
export function moment(iso, words) {
  return iso ? h("time", { datetime: iso, title: time(iso) }, words) : words;
}

// Airflow shows the page in a frame that may not navigate the window, so it asks Airflow's own router to navigate.
export function airflowLink(path, text, label) {
  const url = new URL(`../${path}`, document.baseURI);
  const follow = (event) => {
    if (window.parent === window) return;
    event.preventDefault();
    window.parent.history.pushState({}, "", url.href);
    window.parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
  };
  return h("a", { href: url.href, onclick: follow, "aria-label": label }, text);
}

export function runLink(dagId, runId, text = runId) {
  return airflowLink(`dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`, text, `run ${runId}, in Airflow`);
}

export function table(caption, columns, rows, empty) {
  if (!rows.length) return h("p", { class: "quiet" }, empty);
  // The roles are said because a table that is laid out as blocks, on a phone, is none to a screen reader otherwise.
  const head = columns.map(([name, kind]) => h("th", { scope: "col", role: "columnheader", class: kind }, name));
  const cell = (content, [name, kind], first) =>
    first
      ? h("th", { scope: "row", role: "rowheader" }, content)
      : h("td", { class: kind, role: "cell", "data-label": name }, content);
  const body = rows.map((row) => h("tr", { role: "row" }, row.map((content, at) => cell(content, columns[at], at === 0))));
  return h(
    "table",
    { role: "table" },
    h("caption", {}, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, body),
  );
}

export function terms(pairs, kind) {
  return h("dl", { class: kind }, pairs.map(([term, ...content]) => h("div", {}, h("dt", {}, term), h("dd", {}, content))));
}

export function say(text, bad = false) {
  const message = document.getElementById("message");
  message.className = bad ? "bad" : "";
  message.textContent = text;
}
