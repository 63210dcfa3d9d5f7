// The page "Auth0 webhooks": all routes, or with ?dag= one of them. It reads from its own API and acts through Airflow's.
import { actions } from "./actions.js";
import { chart, draw } from "./chart.js";
import { airflowLink, h, moment, runLink, say, table, terms } from "./dom.js";
import { ago, count, every, granted, lasting, left, number, since, span, spot, time, verdict } from "./words.js";

const query = new URLSearchParams(location.search);
const dagId = query.get("dag");
let days = "1";

const STATES = {
  well: "✓ healthy",
  waiting: "… waiting",
  held: "‖ held",
  failing: "✗ failing",
  gap: "⚠ gap",
  new: "○ no run yet",
};

function badge(route) {
  const off = route.paused ? [" ", h("span", { class: "state off" }, "◌ paused")] : [];
  return [h("span", { class: `state ${route.state.code}` }, STATES[route.state.code] ?? route.state.code), ...off];
}

// Is it healthy, since when, why, and what to do.
function answer(route, now) {
  const { state } = route;
  return [
    h(
      "div",
      {},
      badge(route),
      state.since &&
        [
          " ",
          h("span", { class: "quiet" }, "for ", state.at_least && "at least ", moment(state.since, lasting(state.since, now))),
        ],
    ),
    (state.code !== "well" || route.paused) && h("div", {}, state.words),
    state.todo && h("div", { class: "todo" }, h("strong", {}, "What to do: "), state.todo),
  ];
}

function watch(route) {
  if (!route.settings) return "not known here";
  if (route.settings.watch === null) return "off (schedule only)";
  return `${route.paused ? "off while paused; otherwise " : ""}${every(route.settings.watch)}`;
}

const lastDelivered = (route) => route.last_delivered ?? route.last_delivery;

function all(data) {
  const rank = ["failing", "held", "gap", "waiting", "new", "well"];
  const routes = [...data.routes].sort((a, b) => rank.indexOf(a.state.code) - rank.indexOf(b.state.code));
  const rows = routes.map((route) => [
    h("a", { href: `page?dag=${encodeURIComponent(route.dag_id)}` }, route.dag_id),
    answer(route, data.now),
    span(route.lag_seconds),
    span(route.seconds_to_loss),
    moment(lastDelivered(route), ago(lastDelivered(route), data.now)),
    ...(data.see_audits ? [route.audit ? audited(route.audit, data) : "no audit yet"] : []),
  ]);
  const columns = [["Route"], ["State"], ["Lag", "short"], ["Time to retention loss", "short"], [
    "Last event delivered",
    "short",
  ]];
  if (data.see_audits) columns.push(["Audited until", "short"]);
  const bad = routes.some(({ state }) => !["well", "new"].includes(state.code));
  return [
    h("p", { class: `answer ${bad ? "bad" : "good"}` }, verdict(routes)),
    table("Routes, the unhealthy ones first", columns, rows, ""),
    budgets(data),
  ];
}

// What each tenant's rate limit had left after the last run of any of its routes.
function budgets(data) {
  const tenants = new Map();
  for (const { settings, budget } of data.routes) {
    if (!settings) continue;
    const known = tenants.get(settings.auth0_conn_id) ?? { routes: 0, last: null };
    const last = budget && (!known.last || budget.at > known.last.at) ? budget : known.last;
    tenants.set(settings.auth0_conn_id, { routes: known.routes + 1, last });
  }
  const rows = [...tenants].filter(([, { last }]) => last).sort().map(([name, { routes, last }]) => [
    name,
    count(routes, "route"),
    count(last.api_requests, "request"),
    left({ ...last, api_rate: null }),
    granted(last.api_rate) || "not known",
    moment(last.at, ago(last.at, data.now)),
  ]);
  const columns = [["Tenant's connection"], ["Used by"], ["The last run sent"], ["Left after it"], ["Granted"], ["It ended"]];
  return rows.length && [
    h("h2", {}, "Auth0's rate limit"),
    table("As the last run of each tenant's routes left it", columns, rows, ""),
  ];
}

function one(data) {
  const { route } = data;
  const { checkpoint, settings } = route;
  const good = ["well", "new"].includes(route.state.code);
  return [
    h(
      "p",
      {},
      h("a", { href: "page" }, "All routes"),
      " · ",
      airflowLink(`dags/${encodeURIComponent(route.dag_id)}`, "The DAG in Airflow"),
    ),
    h("div", { class: `answer ${good ? "good" : "bad"}` }, answer(route, data.now)),
    checkpoint.instead &&
    h(
      "p",
      {},
      `The stored checkpoint is older than the last save: it arrived late, was cut off, or comes from a backup. The next run continues from ${
        spot(checkpoint.instead)
      }, which a later try saved.`,
    ),
    terms([
      ["Lag", h("strong", {}, span(route.lag_seconds))],
      [
        "Time to retention loss",
        h("strong", {}, settings?.retention_days ? span(route.seconds_to_loss) : "not known: retention_days is not set"),
      ],
      ["Last event delivered", both(lastDelivered(route), data.now)],
      ["Last live run", both(route.last_live_run, data.now)],
      ["Audited until", data.may.see_audits ? audited(data.audit, data) : "you may not see the audits"],
      ["Auth0's rate limit", budget(route, data.now)],
    ], "figures"),
    actions(data, load),
    h("h2", {}, "Delivered"),
    h(
      "label",
      {},
      "Time shown ",
      h(
        "select",
        {
          id: "days",
          onchange: (event) => {
            days = event.target.value;
            load();
          },
        },
        [["1", "24 hours"], ["7", "7 days"], ["30", "30 days"]].map(([value, name]) =>
          h("option", { value, selected: value === days }, name)
        ),
      ),
    ),
    chart(data.history),
    h("h2", {}, "Last runs"),
    runs(data),
    h("h2", {}, "Dead letters"),
    letters(data),
    h("h2", {}, "Checkpoint and settings"),
    terms([
      ["Checkpoint, time", checkpoint.date ? since(checkpoint.date, data.now) : "none yet"],
      ["Checkpoint, log id", h("span", { class: "id" }, checkpoint.log_id ?? "none")],
      ["Watch", watch(route)],
      ["Schedule", settings ? `${settings.schedule} (cron, UTC)` : "not known here"],
      ["Connections", settings ? `${settings.auth0_conn_id}, ${settings.webhook_conn_id}` : "not known here"],
    ]),
  ];
}

// How long ago, and when.
function both(iso, now) {
  return [h("strong", {}, ago(iso, now)), iso && h("div", { class: "quiet" }, time(iso))];
}

function audited(audit, data) {
  if (!audit) return ["no audit yet: enable ", airflowLink(`dags/${data.audit_dag_id}`, data.audit_dag_id)];
  const found = audit.left ? `${count(audit.left, "event")} not accounted for` : audit.outcome;
  return [
    h("strong", {}, audit.until ? moment(audit.until, ago(audit.until, data.now)) : "not known"),
    h("div", { class: audit.left && "warn" }, runLink(data.audit_dag_id, audit.run_id, found)),
    audit.left > 0 && h("div", { class: "todo" }, `Trigger ${data.audit_dag_id} with send: true.`),
  ];
}

function budget(route, now) {
  const found = route.budget;
  if (!found) return "not known yet";
  return [
    h("strong", {}, left(found)),
    h("div", { class: "quiet" }, `after ${count(found.api_requests, "request")}, ${ago(found.at, now)}`),
  ];
}

function requests(ledger) {
  if (!ledger.api_requests) return "";
  return h("div", {}, [`${count(ledger.api_requests, "request")} to Auth0`, left(ledger)].filter(Boolean).join("; "));
}

function runs(data) {
  const rows = data.runs.map((run) => {
    const ledger = run.ledger;
    return [
      runLink(data.route.dag_id, run.run_id),
      `${run.state}${ledger?.dry_run ? ", dry run" : ledger && ledger.mode !== "live" ? `, ${ledger.mode}` : ""}`,
      time(run.began),
      ...["read", "selected", "delivered_now", "delivered_before", "dead_lettered", "refused", "not_reached"].map((
        key,
      ) => (ledger ? number(ledger[key]) : "–")),
      ledger
        ? [
          ledger.outcome,
          requests(ledger),
          ledger.gap ? h("div", {}, `gap: ${ledger.gap}`) : "",
          ledger.notes.map((note) => h("div", {}, note)),
        ]
        : "no report",
    ];
  });
  const columns = [
    ["Run"],
    ["State"],
    ["Began"],
    ["Read", "number"],
    ["Selected", "number"],
    ["Delivered", "number"],
    ["Before", "number"],
    ["Dead-lettered", "number"],
    ["Refused", "number"],
    ["Not reached", "number"],
    ["Outcome"],
  ];
  return table("Newest first; each links to the run in Airflow", columns, rows, "There are no runs yet.");
}

function letters(data) {
  const found = data.dead_letters;
  const rows = found.letters.map((
    letter,
  ) => [h("span", { class: "id" }, letter.log_id), letter.type, letter.answer, time(letter.at), number(letter.tries)]);
  return [
    !data.may.see_letters
      ? h("p", {}, "You may not see the runs that list dead letters. The table holds those that the runs in the time shown name.")
      : h(
        "p",
        {},
        found.listed_at
          ? [
            `${count(found.waiting, "dead letter")} when last listed, ${since(found.listed_at, data.now)} (`,
            runLink(found.dag_id, found.listed_by, "the listing"),
            "). ",
            found.unreadable
              ? `${count(found.unreadable, "more file")} could not be read: the listing's log names each, and says what to do. `
              : "",
          ]
          : "No recent run has listed them. ",
        found.since
          ? `${count(found.since, "dead letter")} stored since then, in the time shown.`
          : "None stored since, in the time shown.",
      ),
    table(
      "Dead letters, with the answer that refused them",
      [["Log id"], ["Type"], ["Answer"], ["Last try"], ["Tries", "number"]],
      rows,
      "None.",
    ),
  ];
}

export async function load() {
  const main = document.getElementById("main");
  const path = dagId ? `api/routes/${encodeURIComponent(dagId)}?days=${days}` : "api/routes";
  try {
    const answer = await fetch(path, { credentials: "same-origin" });
    const data = await answer.json();
    if (!answer.ok) {
      throw new Error(
        answer.status === 401 ? "You are not logged in: log in to Airflow, then refresh." : data.detail ?? answer.statusText,
      );
    }
    if (document.querySelector("dialog[open]")) return;
    document.getElementById("title").textContent = dagId ? `Auth0 webhooks: ${dagId}` : "Auth0 webhooks";
    document.getElementById("as-of").textContent = `as of ${time(data.now)}`;
    const focused = document.activeElement?.id;
    const opened = [...main.querySelectorAll("details[open]")].map(({ id }) => id);
    main.replaceChildren(...(dagId ? one(data) : all(data)).flat(9).filter(Boolean));
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    draw(data.history);
    if (focused) document.getElementById(focused)?.focus();
  } catch (error) {
    main.replaceChildren(h("p", {}, String(error.message)), dagId ? h("p", {}, h("a", { href: "page" }, "All routes")) : "");
  }
  main.setAttribute("aria-busy", "false");
}

function theme() {
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  try {
    if (window.parent !== window) dark = window.parent.document.documentElement.classList.contains("dark");
  } catch { /* a frame of another origin: keep what the browser prefers */ }
  if (document.documentElement.classList.contains("dark") === dark) return;
  document.documentElement.classList.toggle("dark", dark);
  draw();
}

theme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
if (window.parent !== window) {
  try {
    new MutationObserver(theme).observe(window.parent.document.documentElement, { attributes: true, attributeFilter: ["class"] });
  } catch { /* as above */ }
}
document.getElementById("refresh").addEventListener("click", () => {
  say("");
  load();
});
// Reload only while nobody uses the page: new rows under a reader's focus help nobody.
setInterval(() => {
  if (!document.hidden && [document.body, null].includes(document.activeElement)) load();
}, 30000);
load();
