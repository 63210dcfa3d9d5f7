// What a person can do about a route. Each button is one call of Airflow's REST API, or opens a form that explains itself.
import { airflow, busy, ended, idle, pause, setVariable, trigger, variable } from "./airflow.js";
import { h, say } from "./dom.js";
import { count, number, span, spot, time } from "./words.js";

const LATE = 125_000; // a window that ended later than this waits for late events
const ENTERED = { type: "datetime-local", step: "1" };

export function actions(data, refresh) {
  const { route, may, dead_letters: letters } = data;
  const held = route.checkpoint.hold_until && route.checkpoint.hold_until > data.now;
  const buttons = [
    ["run-now", "Run now", may.run && !route.paused, (button) => runNow(button, route, refresh)],
    ["switch", route.paused ? "Unpause" : "Pause", may.pause, (button) => switchDag(button, route, refresh)],
    ["replay", "Replay a range …", may.run && !route.paused, () => replay(route, refresh)],
    [
      "list-letters",
      "List dead letters",
      may.send_letters,
      (button) => deadLetters(button, route, letters.dag_id, false, refresh),
    ],
    ["send-letters", "Send dead letters again …", may.send_letters, () => sendLetters(route, letters, refresh)],
    held && !route.checkpoint.instead && ["lift", "Lift the hold …", may.move, () => lift(route, refresh)],
    route.checkpoint.instead && ["use", "Use this checkpoint …", may.move && may.pause, () => use(route, refresh)],
    ["move", "Move the checkpoint …", may.move && may.pause, () => move(route, may, refresh)],
  ].filter(Boolean);
  const allowed = may.run || may.pause || may.send_letters || may.move;
  return [
    h(
      "div",
      { class: "actions", role: "group", "aria-label": "What you can do" },
      buttons.map(([id, name, possible, act]) =>
        h("button", { type: "button", id, disabled: !possible, onclick: (event) => act(event.currentTarget) }, name)
      ),
    ),
    !allowed &&
    h("p", { class: "quiet" }, "You may view this route, but not act on it: your role in Airflow does not permit it."),
    allowed && route.paused &&
    h("p", { class: "quiet" }, "Runs of a paused DAG stay queued: unpause it before you run or replay."),
  ];
}

function runNow(button, route, refresh) {
  return busy(button, async () => {
    const run = await trigger(route.dag_id, {});
    say(`Run ${run.dag_run_id} is triggered …`);
    const done = await ended(route.dag_id, run.dag_run_id);
    say(
      done ? `Run ${done.run_id}: ${done.ledger?.outcome ?? done.state}` : `Run ${run.dag_run_id} is still running.`,
      done?.state === "failed",
    );
    await refresh();
  });
}

function switchDag(button, route, refresh) {
  return busy(button, async () => {
    await pause(route.dag_id, !route.paused);
    say(route.paused ? "The DAG is unpaused." : "The DAG is paused: no new run starts; an active run continues to its end.");
    await refresh();
  });
}

function deadLetters(button, route, dagId, send, refresh) {
  return busy(button, async () => {
    const run = await trigger(dagId, { send, route: route.dag_id });
    say(`Run ${run.dag_run_id} of ${dagId} is triggered …`);
    const done = await endedElsewhere(dagId, run.dag_run_id);
    say(`Run ${run.dag_run_id} of ${dagId}: ${done ?? "still running"}.`, done === "failed");
    await refresh();
  });
}

async function endedElsewhere(dagId, runId) {
  for (let second = 0; second < 240; second += 1) {
    const run = await airflow("GET", `/dags/${encodeURIComponent(dagId)}/dagRuns/${encodeURIComponent(runId)}`);
    if (["success", "failed"].includes(run.state)) return run.state;
    await new Promise((done) => setTimeout(done, 1000));
  }
  return null;
}

// A form in a dialog; its main button is off until `ready` is called, and off again when a field changes.
function form(title, words, fields, first, main, refresh) {
  const outcome = h("div", { class: "outcome", role: "status" });
  const mainButton = h("button", {
    type: "button",
    class: "main",
    id: "confirm",
    disabled: Boolean(first),
    onclick: () => busy(mainButton, act),
  }, main.name);
  const firstButton = first && h("button", { type: "button", id: "count", onclick: () => busy(firstButton, check) }, first.name);
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title),
    words.map((text) => h("p", {}, text)),
    fields,
    outcome,
    h(
      "div",
      { class: "actions" },
      firstButton,
      mainButton,
      h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
    ),
  );
  const tell = (text) => {
    outcome.textContent = text;
  };
  const ready = (text, name) => {
    tell(text);
    mainButton.disabled = false;
    mainButton.textContent = name;
  };
  async function check() {
    mainButton.disabled = true;
    try {
      await first.act(tell, ready);
    } catch (error) {
      tell(error.message);
    }
  }
  async function act() {
    try {
      await main.act(tell);
    } catch (error) {
      tell(error.message);
      return;
    }
    dialog.close();
    await refresh();
  }
  if (first) {
    dialog.addEventListener("input", () => {
      mainButton.disabled = true;
      mainButton.textContent = main.name;
      tell("Changed: count again.");
    });
  }
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const field = (label, input) => h("label", {}, label, input);
const moment = (input) => (input.value ? new Date(`${input.value}Z`).toISOString() : null);
const entered = (iso) => iso.slice(0, 19);

async function dryRun(route, conf, tell) {
  const run = await trigger(route.dag_id, { ...conf, dry_run: true });
  tell("Counting with a dry run, which sends nothing …");
  const done = await ended(route.dag_id, run.dag_run_id);
  if (!done) throw new Error(`The dry run ${run.dag_run_id} is still running: follow it in Airflow.`);
  if (done.state !== "success") throw new Error(`The dry run ${done.ledger?.outcome ?? "failed"}`);
  return done.ledger;
}

function replay(route, refresh) {
  const now = Date.now();
  const from = h("input", { ...ENTERED, id: "since", value: entered(new Date(now - 3_600_000).toISOString()), required: true });
  const to = h("input", { ...ENTERED, id: "until", value: entered(new Date(now - LATE).toISOString()), required: true });
  const types = h("input", { id: "types", placeholder: "the route's own, or for example: f, fp" });
  const conf = () => {
    if (!from.value || !to.value) throw new Error("Fill in both times.");
    return { since: moment(from), until: moment(to), ...(types.value.trim() && { other_log_types: types.value.trim() }) };
  };
  form(
    "Replay a range",
    ["Sends the events of a time range again, with the same webhook-id. The checkpoint does not move."],
    [field("From (UTC)", from), field("To, exclusive (UTC)", to), field("Log types", types)],
    {
      name: "Count first (dry run)",
      act: async (tell, ready) => {
        const ledger = await dryRun(route, conf(), tell);
        ready(
          `${count(ledger.read, "event")} in this time range, ${number(ledger.selected)} of them would be sent.`,
          `Send ${count(ledger.selected, "event")}`,
        );
      },
    },
    {
      name: "Send",
      act: async () => {
        const run = await trigger(route.dag_id, conf());
        say(`The replay ${run.dag_run_id} is triggered; find it among the runs below.`);
      },
    },
    refresh,
  );
}

function sendLetters(route, letters, refresh) {
  const known = letters.waiting + letters.since;
  form(
    "Send dead letters again",
    [`${
      known
        ? `This route has about ${count(known, "dead letter")}.`
        : "No dead letter of this route is known: list them first to be sure."
    } Each is sent once more and removed after the webhook's 2xx. What is refused again stays.`],
    [],
    null,
    {
      name: "Send again",
      act: () => {
        deadLetters(document.getElementById("send-letters"), route, letters.dag_id, true, refresh);
      },
    },
    refresh,
  );
}

function lift(route, refresh) {
  const { key, hold_until: until, hold_reason: reason } = route.checkpoint;
  form(
    "Lift the hold",
    [`The webhook asked not to be called before ${
      time(until)
    } (${reason}). Without the hold the next live run calls it immediately.`],
    [],
    null,
    {
      name: "Lift the hold",
      act: async (tell) => {
        tell("Waiting until no run is active …");
        await idle(route.dag_id);
        const present = await variable(key);
        const { hold_until: _until, hold_reason: _reason, ...rest } = parsed(present?.value, key);
        await setVariable(key, JSON.stringify(rest, null, 1), present);
        say("The hold is lifted; the next live run calls the webhook again.");
      },
    },
    refresh,
  );
}

// A checkpoint without its sum counts as set by hand, and what a person set always counts.
function use(route, refresh) {
  const { key, log_id: id, instead } = route.checkpoint;
  form(
    "Use this checkpoint",
    [
      `The Variable ${key} holds ${spot(route.checkpoint)}, although a later try saved ${
        spot(instead)
      }: the save arrived late or was cut off, or a backup was restored.`,
      "Unless you use this checkpoint, the next run continues from the later one. If you use it, the events between the two are sent again.",
      "The DAG is paused in the meantime, and unpaused again if it was not paused before.",
    ],
    [],
    null,
    {
      name: "Use this checkpoint",
      act: async (tell) => {
        await whilePaused(route, tell, async () => {
          const present = await variable(key);
          const { sum, ...rest } = parsed(present?.value, key);
          if (!sum || rest.log_id !== id) {
            throw new Error("The checkpoint has changed in the meantime, so nothing was done. Refresh the page and check again.");
          }
          await setVariable(key, JSON.stringify(rest, null, 1), present);
        });
        say(`The next live run continues from ${spot(route.checkpoint)}.`);
      },
    },
    refresh,
  );
}

async function whilePaused(route, tell, work) {
  if (!route.paused) await pause(route.dag_id, true);
  try {
    tell("Waiting until no run is active …");
    await idle(route.dag_id);
    await work();
  } finally {
    if (!route.paused) await pause(route.dag_id, false);
  }
}

function parsed(text, key) {
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object") return value;
  } catch { /* the error below says it */ }
  throw new Error(
    `The Variable ${key} cannot be read here, or Airflow masks it because of its name. Change it with the Airflow CLI.`,
  );
}

// The time that a log id carries, as Auth0 makes them: 900, then year to milliseconds.
function timeOf(logId) {
  const parts = logId.match(/^900(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})/);
  const date = parts && new Date(`${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}:${parts[5]}:${parts[6]}.${parts[7]}Z`);
  return date && !Number.isNaN(date.getTime()) ? date.toISOString() : null;
}

function move(route, may, refresh) {
  const { key, date } = route.checkpoint;
  const at = h("input", { ...ENTERED, id: "at", value: date ? entered(date) : "" });
  const id = h("input", { id: "log-id", inputmode: "numeric", pattern: "[0-9]*", placeholder: "instead of a time" });
  const place = () => {
    const text = id.value.trim();
    if (text && !/^[0-9]+$/.test(text)) throw new Error("A log id consists of digits only.");
    if (!text && !at.value) throw new Error("Fill in a time or a log id.");
    return { value: text || moment(at), moment: text ? timeOf(text) : moment(at) };
  };
  form(
    "Move the checkpoint",
    [
      "Live runs continue after this position. If you move back, the events in between are sent again. If you move forward, the events in between are never sent.",
      "The DAG is paused while the checkpoint moves, and unpaused again if it was not paused before.",
    ],
    [field("Continue after this time (UTC)", at), field("or after this log id", id)],
    { name: "Count first (dry run)", act: (tell, ready) => meaning(route, may, place(), tell, ready) },
    {
      name: "Move the checkpoint",
      act: async (tell) => {
        const { value } = place();
        await whilePaused(route, tell, async () => setVariable(key, value, await variable(key)));
        say(`The checkpoint is at ${value}; the next live run continues from there.`);
      },
    },
    refresh,
  );
}

// Says what a move means in events: a dry run counts the events between the two positions.
async function meaning(route, may, { moment: to }, tell, ready) {
  const from = route.checkpoint.date;
  const latest = new Date(Date.now() - LATE).toISOString();
  if (!to || !from || route.paused || !may.run) {
    const why = !from
      ? "there is no checkpoint yet"
      : !to
      ? "this log id contains no time"
      : route.paused
      ? "the DAG is paused, and runs of a paused DAG stay queued"
      : "you may not start runs";
    ready(`The events in between cannot be counted: ${why}. You can still move the checkpoint.`, "Move without a count");
    return;
  }
  const back = to < from;
  const [since, wanted] = back ? [to, from] : [from, to];
  const until = wanted < latest ? wanted : latest;
  const direction = `${back ? "Back" : "Forward"} by ${span((Date.parse(wanted) - Date.parse(since)) / 1000)}`;
  if (since >= until) {
    ready(`${direction}: the time in between is too short or too recent to count.`, "Move the checkpoint");
    return;
  }
  const ledger = await dryRun(route, { since, until }, tell);
  const what = back ? "will be sent again, with the same webhook-id" : "will never be sent by live runs";
  const later = until < wanted ? ` Not counted: the time after ${time(until)}.` : "";
  ready(
    `${direction}: ${count(ledger.selected, "event")} ${what}.${later}`,
    `Move: ${count(ledger.selected, "event")} ${back ? "again" : "left out"}`,
  );
}
