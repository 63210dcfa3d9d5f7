// Airflow's own REST API: every change goes through it, with its permissions and its audit log.
import { say } from "./dom.js";

export async function airflow(method, path, body) {
  const answer = await fetch(`../api/v2${path}`, {
    method,
    credentials: "same-origin",
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const content = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return content;
  const detail = typeof content?.detail === "string"
    ? content.detail
    : content?.detail
    ? JSON.stringify(content.detail)
    : answer.statusText;
  const error = new Error(
    answer.status === 403 ? `Airflow does not allow it: ${detail}` : `Airflow answers ${answer.status}: ${detail}`,
  );
  error.status = answer.status;
  throw error;
}

export const dagPath = (dagId) => `/dags/${encodeURIComponent(dagId)}`;

export function trigger(dagId, conf) {
  return airflow("POST", `${dagPath(dagId)}/dagRuns`, { logical_date: null, conf });
}

export function pause(dagId, paused) {
  return airflow("PATCH", dagPath(dagId), { is_paused: paused });
}

// The run with its ledger once it has ended; null after so many seconds.
export async function ended(dagId, runId, seconds = 240) {
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; await sleep(1000)) {
    const run = await airflow("GET", `${dagPath(dagId)}/dagRuns/${encodeURIComponent(runId)}`);
    if (!["success", "failed"].includes(run.state)) continue;
    const data = await (await fetch(`api/routes/${encodeURIComponent(dagId)}?runs=100`, { credentials: "same-origin" })).json();
    return data.runs.find((each) => each.run_id === runId) ?? { run_id: runId, state: run.state, ledger: null };
  }
  return null;
}

// Waits until no run of the DAG is under way: a run that delivers saves the checkpoint, over whatever is put there meanwhile.
export async function idle(dagId, seconds = 180) {
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; await sleep(1000)) {
    const runs = await airflow("GET", `${dagPath(dagId)}/dagRuns?state=running&limit=1`);
    if (!runs.total_entries) return;
  }
  throw new Error("a run is still under way; nothing was changed");
}

export async function variable(key) {
  try {
    return await airflow("GET", `/variables/${encodeURIComponent(key)}`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export function setVariable(key, value, present) {
  const body = { key, value, description: present?.description ?? null };
  return present ? airflow("PATCH", `/variables/${encodeURIComponent(key)}`, body) : airflow("POST", "/variables", body);
}

// Does something that a button asks for, with the button off meanwhile, and says how it ended.
export async function busy(button, work) {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    say(error.message, true);
  }
  button.disabled = false;
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
