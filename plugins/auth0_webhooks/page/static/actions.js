// What a person can do about a route. Each button is one call of Airflow's REST API, or opens a form that explains itself.
import { airflow, busy, ended, idle, pause, setVariable, trigger, variable } from "./airflow.js";
import { count, h, number, say, span, spot, time } from "./dom.js";

const LATE = 125_000; // a window that ended later than this waits for late events
const ENTERED = { type: "datetime-local", step: "1" };

export function actions(data, refresh) {
  const { route, may, dead_letters: letters } = data;
  const held = route.checkpoint.hold_until && route.checkpoint.hold_until > data.now;
  const buttons = [
    ["run-now", "Run now", may.run && !route.paused, (button) => runNow(button, route, refresh)],
    ["switch", route.paused ? "Switch on" : "Switch off", may.pause, (button) => switchDag(button, route, refresh)],
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
    !allowed && h("p", { class: "quiet" }, "You may look at this route, but not act on it: Airflow gives your role no more."),
    allowed && route.paused &&
    h("p", { class: "quiet" }, "Runs of a DAG that is switched off stay queued, so switch it on before you run or replay."),
  ];
}

function runNow(button, route, refresh) {
  return busy(button, async () => {
    const run = await trigger(route.dag_id, {});
    say(`Run ${run.dag_run_id} was asked for …`);
    const done = await ended(route.dag_id, run.dag_run_id);
    say(
      done ? `Run ${done.run_id}: ${done.ledger?.outcome ?? done.state}` : `Run ${run.dag_run_id} is still under way.`,
      done?.state === "failed",
    );
    await refresh();
  });
}

function switchDag(button, route, refresh) {
  return busy(button, async () => {
    await pause(route.dag_id, !route.paused);
    say(route.paused ? "The DAG is switched on." : "The DAG is switched off: no new run starts; one that is under way ends.");
    await refresh();
  });
}

function deadLetters(button, route, dagId, send, refresh) {
  return busy(button, async () => {
    const run = await trigger(dagId, { send, route: route.dag_id });
    say(`Run ${run.dag_run_id} of ${dagId} was asked for …`);
    const done = await endedElsewhere(dagId, run.dag_run_id);
    say(`Run ${run.dag_run_id} of ${dagId}: ${done ?? "still under way"}.`, done === "failed");
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
  if (!done) throw new Error(`The dry run ${run.dag_run_id} is still under way; look at it in Airflow.`);
  if (done.state !== "success") throw new Error(`The dry run ${done.ledger?.outcome ?? "failed"}`);
  return done.ledger;
}

function replay(route, refresh) {
  const now = Date.now();
  const from = h("input", { ...ENTERED, id: "since", value: entered(new Date(now - 3_600_000).toISOString()), required: true });
  const to = h("input", { ...ENTERED, id: "until", value: entered(new Date(now - LATE).toISOString()), required: true });
  const types = h("input", { id: "types", placeholder: "as the route says, or such as: f, fp" });
  const conf = () => {
    if (!from.value || !to.value) throw new Error("Fill in both times.");
    return { since: moment(from), until: moment(to), ...(types.value.trim() && { other_log_types: types.value.trim() }) };
  };
  form(
    "Replay a range",
    ["Sends the events of a stretch of time again, with the same webhook-id. The checkpoint stays where it is."],
    [field("From (UTC)", from), field("To, itself not part of it (UTC)", to), field("Log types", types)],
    {
      name: "Count first (dry run)",
      act: async (tell, ready) => {
        const ledger = await dryRun(route, conf(), tell);
        ready(
          `${count(ledger.read, "event")} in this time, ${number(ledger.selected)} of them would be sent.`,
          `Send ${count(ledger.selected, "event")}`,
        );
      },
    },
    {
      name: "Send",
      act: async () => {
        const run = await trigger(route.dag_id, conf());
        say(`The replay ${run.dag_run_id} was asked for; it is among the runs below.`);
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
        ? `About ${count(known, "event")} of this route ${known === 1 ? "is" : "are"} known to be set aside.`
        : "None are known to be set aside; list them first to be sure."
    } Each is sent once more, and forgotten after the webhook's 2xx. What is refused again stays.`],
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
    } (${reason}). Without the hold the next live run tries it at once.`],
    [],
    null,
    {
      name: "Lift the hold",
      act: async (tell) => {
        tell("Waiting until no run is under way …");
        await idle(route.dag_id);
        const present = await variable(key);
        const { hold_until: _until, hold_reason: _reason, ...rest } = parsed(present?.value, key);
        await setVariable(key, JSON.stringify(rest, null, 1), present);
        say("The hold is lifted; the next live run tries the webhook again.");
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
      `The Variable ${key} holds ${spot(route.checkpoint)}, and a later try has saved ${
        spot(instead)
      } since: a save that arrived late or was cut off, or a restored backup.`,
      "By itself the next run goes on from the later try's. With this one it sends again what lies between.",
      "The DAG is paused meanwhile, and unpaused after, if it was not paused before.",
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
            throw new Error("The checkpoint has changed meanwhile; nothing was changed. Refresh, and look again.");
          }
          await setVariable(key, JSON.stringify(rest, null, 1), present);
        });
        say(`The next live run goes on from ${spot(route.checkpoint)}.`);
      },
    },
    refresh,
  );
}

async function whilePaused(route, tell, work) {
  if (!route.paused) await pause(route.dag_id, true);
  try {
    tell("Waiting until no run is under way …");
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
  } catch { /* said below */ }
  throw new Error(`The Variable ${key} cannot be read here, or Airflow masks it because of its name. Change it by CLI.`);
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
    if (text && !/^[0-9]+$/.test(text)) throw new Error("A log id is made of digits only.");
    if (!text && !at.value) throw new Error("Fill in a time or a log id.");
    return { value: text || moment(at), moment: text ? timeOf(text) : moment(at) };
  };
  form(
    "Move the checkpoint",
    [
      "Live runs go on after this place. Back: what lies between is sent again. Forward: what lies between is never sent.",
      "The DAG is switched off while the checkpoint is moved, and on again after, if it was on.",
    ],
    [field("Go on after this time (UTC)", at), field("or after this log id", id)],
    { name: "What would that mean?", act: (tell, ready) => meaning(route, may, place(), tell, ready) },
    {
      name: "Move the checkpoint",
      act: async (tell) => {
        const { value } = place();
        await whilePaused(route, tell, async () => setVariable(key, value, await variable(key)));
        say(`The checkpoint is at ${value}; the next live run goes on from there.`);
      },
    },
    refresh,
  );
}

// Says in events what a move means: a dry run counts what lies between the two places.
async function meaning(route, may, { moment: to }, tell, ready) {
  const from = route.checkpoint.date;
  const latest = new Date(Date.now() - LATE).toISOString();
  if (!to || !from || route.paused || !may.run) {
    const why = !from
      ? "there is no checkpoint yet"
      : !to
      ? "this log id carries no time"
      : route.paused
      ? "the DAG is switched off, and runs of such a DAG stay queued"
      : "you may not start runs";
    ready(`What lies between cannot be counted: ${why}. You can move all the same.`, "Move without a count");
    return;
  }
  const back = to < from;
  const [since, wanted] = back ? [to, from] : [from, to];
  const until = wanted < latest ? wanted : latest;
  const direction = `${back ? "Back" : "Forward"} by ${span((Date.parse(wanted) - Date.parse(since)) / 1000)}`;
  if (since >= until) {
    ready(`${direction}: too little time lies between to count, or it is just over.`, "Move the checkpoint");
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
