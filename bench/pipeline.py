"""Whole runs on a live Airflow: a backlog end to end, and an idle run compared with three empty tasks."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from auth0_webhooks.waits import WAITS
from bench.support.results import Figure, Part, Target, at_least, at_most, draw
from bench.support.stack import NEVER, Stack, Watcher, moment, stack

BACKLOGS = {1_000: 1, 10_000: 1, 20_000: 3, 100_000: 1}
"""The number of waiting events, and of rounds for each."""
ARRAYS, ARRAYS_ROUNDS = 20_000, 2
"""The number of events waiting for the route that sends arrays of 100, and of rounds."""
IN_ARRAYS = f"{ARRAYS:,}, in arrays of 100"
MILLION = 1_000_000
TASKS = ("fetch", "filter", "deliver")
MAPPED = 30
IDLE_ROUNDS = 2
IDLE_RUNS = 2
MB = 1e6


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure everything that needs a live Airflow."""
    common = {
        "auth0_conn_id": "auth0_bench",
        "webhook_conn_id": "webhook_bench",
        "schedule": NEVER,
        "exclude_types": [],
        "watch": "off",
    }
    names = {(size, number): f"backlog_{size}_{number}" for size, rounds in BACKLOGS.items() for number in range(rounds)}
    arrays = [f"arrays_{number}" for number in range(ARRAYS_ROUNDS)]
    routes: dict[str, dict[str, Any]] = dict.fromkeys(names.values(), common)
    routes |= {name: {**common, "payload": "array", "max_events": 100} for name in arrays}
    routes |= {"beside_mapped": common, "idle": common}
    with (
        tempfile.TemporaryDirectory(prefix="auth0-webhooks-bench-", ignore_cleanup_errors=True) as home,
        stack(Path(home), routes, MAPPED) as up,
    ):
        say(f"Airflow is up at {up.airflow.url}")
        idle = _idle(up, say)
        mapped = _mapped(up, say)
        measured: dict[str, list[dict[str, float]]] = {}
        for (size, _), name in names.items():
            measured.setdefault(f"{size:,}", []).append(_backlog(up, name, size, say))
        measured[IN_ARRAYS] = [_backlog(up, name, ARRAYS, say, each=100) for name in arrays]
        end_to_end = _end_to_end(measured, mapped)
    return [end_to_end, idle]


def _backlog(up: Stack, name: str, size: int, say: Callable[[str], None], *, each: int = 1) -> dict[str, float]:
    """One backlog, read by real scheduled runs once the DAG is enabled; the seconds count from the first run's creation.

    :param each: events per POST.
    """
    up.tenant("expire", 10**9)
    up.tenant("add_many", size)
    time.sleep(WAITS.settle)  # the last events must be old enough to be read at once, as those of a backlog are
    up.webhook.forget()
    requests, cpu, api_server, tasks = up.tenant("requests"), up.cpu(), up.cpu_of("api-server"), up.cpu_of_tasks()
    with Watcher(up.airflow, name) as watcher:
        up.switch(name, on=True)
        up.airflow.wait_until(lambda: up.webhook.counted().posts >= size // each, f"{size} events arrive", 60 + size / 100)
        up.airflow.wait_until(lambda: up.has_ended(name), "the runs end", 120)
    up.switch(name, on=False)
    counted = up.webhook.counted()
    # An array ends with the batch that its events are in.
    if not size // each <= counted.posts <= size // each * (1.2 if each > 1 else 1) or counted.repeats:
        raise RuntimeError(f"{name}: {counted.posts} POSTs, {counted.repeats} of them repeats, for {size} events")
    ((began,),) = up.airflow.rows("select min(queued_at) from dag_run where dag_id = ?", name)
    seconds = counted.last - moment(began)
    took = up.airflow.rows("select task_id, start_date, end_date from task_instance where dag_id = ? and pid is not null", name)
    say(f"{size:,} events end to end, {each} a POST: {seconds:.1f} s, {size / seconds:,.0f} events/s")
    return {
        "rate": size / seconds,
        "post rate": size / (counted.last - counted.first),
        "cpu": (up.cpu() - cpu) / size * 1000,
        "CPU of the API server": (up.cpu_of("api-server") - api_server) / size * 1000,
        "CPU of the tasks": (up.cpu_of_tasks() - tasks) / size * 1000,
        "seconds": seconds,
        **{
            f"seconds of {task}": sum(moment(end) - moment(start) for which, start, end in took if which == task)
            for task in TASKS
        },
        "requests": up.tenant("requests") - requests,
        "runs": len(up.airflow.runs(name)),
        "xcom": sum(watcher.xcom.values()) / MB,
        **{task: watcher.memory.get(task, 0) / MB for task in TASKS},
    }


def _end_to_end(measured: dict[str, list[dict[str, float]]], mapped: tuple[float, float]) -> Part:
    part = Part(
        "End to end",
        "A backlog read, filtered and delivered by real scheduled runs of at most 20,000 events, 5 concurrent calls, every event "
        "wanted; seconds from the creation of the first run to the last arrival. CPU is that of all of Airflow. "
        + ", ".join(f"{size:,}: {rounds} rounds" for size, rounds in BACKLOGS.items())
        + f", in arrays {ARRAYS_ROUNDS}.",
        (
            "events",
            "events/s",
            "events/s while POSTing",
            "CPU s per 1,000",
            "fetch / filter / deliver, MB at most",
            "API requests",
            "XCom, MB",
            "runs",
        ),
    )

    def figure(backlog: str, what: str, name: str = "") -> Figure:
        return Figure(name, tuple(one[what] for one in measured[backlog]))

    for backlog, rounds in measured.items():
        memory = " / ".join(f"{max(one[task] for one in rounds):.0f}" for task in TASKS)
        rest = (str(figure(backlog, what)) for what in ("requests", "xcom", "runs"))
        part.rows.append((backlog, *(str(figure(backlog, what)) for what in ("rate", "post rate", "cpu")), memory, *rest))
    ours, operators = mapped
    part.rows.append((f"{MAPPED}, route", f"{ours:.3g}", *[""] * 6))
    part.rows.append((f"{MAPPED}, Airflow's HttpOperator mapped over them", f"{operators:.3g}", *[""] * 6))
    peak = Figure(
        "most memory of any task",
        (max(one[task] for rounds in measured.values() for one in rounds for task in TASKS),),
        "MB",
    )

    def between(backlog: str) -> float:
        tasks = sum(figure(backlog, f"seconds of {task}").median for task in TASKS)
        return max(0.0, figure(backlog, "seconds").median - tasks)  # deliver goes on after the last arrival

    def profile(backlog: str) -> str:
        total, *tasks = (figure(backlog, what).median for what in ("seconds", *(f"seconds of {task}" for task in TASKS)))
        parts = ", ".join(f"`{task}` {seconds:.1f} s" for task, seconds in zip(TASKS, tasks, strict=True))
        return (
            f"of {total:.1f} s, {parts}; the rest is between the tasks. The tasks follow each other, and share the cores "
            "with the API server, the tenant and the webhook."
        )

    api_server, of_tasks = (figure("20,000", f"CPU of the {part}").median for part in ("API server", "tasks"))
    cpu_profile = (
        f"{of_tasks:.2f} s are the tasks', {api_server:.2f} s the API server's, which stores each batch and compresses it again; "
        "the rest is what the scheduler and the other components use in the same time."
    )
    of_memory = (
        f"the process of a task has {min(one['filter'] for one in measured['1,000']):.0f} MB before it holds many events, "
        "which is Airflow and what it imports, most of it shared with the fork server. `deliver` adds the batch at work, the "
        "next one, packed and unpacked, and those that it keeps from their check."
    )
    once = figure("100,000", "rate").median / figure("20,000", "rate").median
    part.targets += [
        at_least(figure("20,000", "rate", "end to end, 20,000 events waiting, events/s"), 2_500, profile("20,000")),
        at_least(figure(IN_ARRAYS, "rate", "the same in arrays of 100, events/s"), 2_500, profile(IN_ARRAYS)),
        at_least(figure("100,000", "rate", "end to end, 100,000 events waiting, events/s"), 3_000, profile("100,000")),
        at_least(
            Figure("events/s with 100,000 waiting / with 20,000", (once,)),
            1.0,
            f"{figure('100,000', 'runs').median:.0f} runs follow each other, and between them nothing is sent: "
            f"{between('100,000'):.1f} s of {figure('100,000', 'seconds').median:.1f} s lie between tasks, of 20,000 events "
            f"{between('20,000'):.1f} s of {figure('20,000', 'seconds').median:.1f} s.",
        ),
        at_most(figure("20,000", "cpu", "CPU for 1,000 of 20,000 events, end to end, s"), 0.5, cpu_profile),
        Target(peak, "at most 200 MB", lambda value: 0 < value <= 200, of_memory),
    ]
    sizes = list(BACKLOGS)
    rates = [(size, figure(f"{size:,}", "rate").median) for size in sizes]
    memories = {task: [(size, max(one[task] for one in measured[f"{size:,}"])) for size in sizes] for task in TASKS}
    larger = sizes[1:]
    slope, start = statistics.linear_regression(larger, [size / rate for size, rate in rates[1:]])
    seconds = slope * MILLION + start
    slopes = {task: statistics.linear_regression(larger, [most for _, most in memories[task][1:]]) for task in TASKS}
    memory = " / ".join(f"{at * MILLION + zero:.0f}" for at, zero in slopes.values())
    extrapolated = f"{MILLION:,}, by a straight line through {len(larger)} sizes"
    part.rows.append((extrapolated, f"{MILLION / seconds:,.0f}", "", "", memory, "", "", ""))
    part.pictures.append(
        draw(
            "end-to-end",
            "Time for a backlog",
            "events waiting",
            "seconds",
            {"route": [(size, size / rate) for size, rate in rates]},
            log=True,
        )
    )
    part.pictures.append(draw("memory", "Peak memory of the tasks", "events waiting", "MB", memories))
    return part


def _mapped(up: Stack, say: Callable[[str], None]) -> tuple[float, float]:
    """Events per second of a route, and of Airflow's own HttpOperator mapped over as many events."""
    rates = []
    for dag_id in ("beside_mapped", "mapped"):
        up.tenant("expire", 10**9)
        up.tenant("add_many", MAPPED)
        up.webhook.forget()
        up.switch(dag_id, on=True)
        if dag_id == "mapped":
            up.trigger(dag_id, "bench")
        up.airflow.wait_until(lambda: up.webhook.counted().posts >= MAPPED, "the events arrive", 240)
        up.airflow.wait_until(lambda dag_id=dag_id: up.has_ended(dag_id), "the run ends", 120)
        up.switch(dag_id, on=False)
        ((began,),) = up.airflow.rows("select min(queued_at) from dag_run where dag_id = ?", dag_id)
        rates.append(MAPPED / (up.webhook.counted().last - moment(began)))
    say(f"{MAPPED} events: {rates[0]:.3g} events/s, HttpOperator mapped {rates[1]:.3g}")
    return rates[0], rates[1]


def _idle(up: Stack, say: Callable[[str], None]) -> Part:
    """Alternate runs that find nothing new with runs of three empty tasks."""
    up.tenant("add_many", 1)
    for dag_id in ("idle", "empty"):
        up.switch(dag_id, on=True)
    up.airflow.wait_until(lambda: up.airflow.runs("idle") and up.has_ended("idle"), "the scheduled run ends", 120)
    measured: dict[str, list[dict[str, float]]] = {"idle": [], "empty": []}
    for number in range(IDLE_ROUNDS + 1):
        for dag_id, rounds in measured.items():
            before = up.cpu_of_tasks(), up.tenant("requests"), up.rows(), time.monotonic()
            for repetition in range(IDLE_RUNS):
                up.trigger(dag_id, f"bench_{number}_{repetition}")
            took = time.monotonic() - before[3]
            # A worker counts its task only after it has seen it end.
            time.sleep(2)
            after = up.cpu_of_tasks(), up.tenant("requests"), up.rows(), before[3] + took
            names = ("cpu", "requests", "rows", "seconds")
            rounds.append({name: (then - was) / IDLE_RUNS for name, was, then in zip(names, before, after, strict=True)})
    for dag_id in measured:
        up.switch(dag_id, on=False)
    part = Part(
        "Idle",
        "A run that finds nothing new, and a run of three empty tasks in the same Airflow, in turn: CPU of the tasks and what "
        "supervises them, requests to the tenant, rows that the run adds to Airflow's database. "
        f"Median of {IDLE_ROUNDS} rounds of {IDLE_RUNS} runs each, spread behind it.",
        ("run", "CPU, s", "API requests", "rows", "seconds from trigger to success"),
    )
    for name, dag_id in (("nothing new", "idle"), ("three empty tasks", "empty")):
        rounds = measured[dag_id][1:]
        part.rows.append(
            (name, *(str(Figure("", tuple(one[what] for one in rounds))) for what in ("cpu", "requests", "rows", "seconds")))
        )
    pairs = list(zip(measured["idle"], measured["empty"], strict=True))[1:]
    part.targets += [
        at_most(
            Figure("CPU of an idle run / of three empty tasks", tuple(one["cpu"] / other["cpu"] for one, other in pairs)), 1.2
        ),
        at_most(Figure("API requests of an idle run", tuple(one["requests"] for one, _ in pairs)), 1),
    ]
    say(f"idle: {part.targets[0].figure}")
    return part
