"""Whether a service of docker-compose.yaml is healthy (``python health.py triggerer``): the container's health check.

A service answers only for its own faults. If PostgreSQL or Redis does not answer, nothing is known about the services that need
it, and they stay healthy: the fault shows where it is. Imports nothing of Airflow, whose import takes seconds.
"""

from __future__ import annotations

import os
import socket
import sys

JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
"""Service -> the type of its job in Airflow's database, where its heartbeats are."""
LONGEST_SILENCE = 30
"""Seconds after the last heartbeat until a job counts as dead; Airflow's own default for all three."""
ANSWER_WITHIN = 4
"""Seconds for PostgreSQL, Redis or the worker to answer; two such waits fit into the timeout of each check."""

NEWEST_HEARTBEAT = """
    select extract(epoch from now() - max(latest_heartbeat)) from job
    where job_type = %s and state = 'running' and split_part(hostname, '.', 1) = %s
"""


def heartbeat(service: str) -> tuple[bool, str]:
    """Whether the job of this container has sent a heartbeat lately, and a sentence that says so."""
    import psycopg2

    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    limit = f"-c statement_timeout={ANSWER_WITHIN * 1000}"
    try:
        database = psycopg2.connect(url, connect_timeout=ANSWER_WITHIN, options=limit)
        with database.cursor() as cursor:
            cursor.execute(NEWEST_HEARTBEAT, (JOBS[service], socket.gethostname().partition(".")[0]))
            (seconds,) = cursor.fetchone()
        database.close()
    except psycopg2.OperationalError as error:
        # The driver gives no code for a failed log-in, only the server's words.
        if "authentication failed" in str(error):
            return False, _refused(service, "PostgreSQL", "POSTGRES_PASSWORD", error)
        return True, f"nothing is known about the {service}: PostgreSQL does not answer ({_first_line(error)}). Look at postgres"
    if seconds is None:
        return False, f"the {service} has sent no heartbeat yet. Look at its log: docker compose logs {service}"
    if seconds > LONGEST_SILENCE:
        return False, f"the {service}'s last heartbeat was {seconds:.0f} s ago. Look at its log: docker compose logs {service}"
    return True, f"the {service}'s last heartbeat was {seconds:.0f} s ago"


def ping() -> tuple[bool, str]:
    """Whether the Celery worker of this container answers, and a sentence that says so."""
    import redis
    from celery import Celery

    url = os.environ["AIRFLOW__CELERY__BROKER_URL"]
    try:
        redis.Redis.from_url(url, socket_timeout=ANSWER_WITHIN, socket_connect_timeout=ANSWER_WITHIN).ping()
    except redis.exceptions.AuthenticationError as error:
        return False, _refused("worker", "Redis", "REDIS_PASSWORD", error)
    except redis.exceptions.RedisError as error:
        return True, f"nothing is known about the worker: Redis does not answer ({_first_line(error)}). Look at redis"
    name = f"celery@{socket.gethostname()}"
    # Not with Airflow's own Celery app, which takes seconds to import.
    if Celery(broker=url).control.inspect([name], timeout=ANSWER_WITHIN).ping():
        return True, "the worker answers"
    return False, f"the worker does not answer within {ANSWER_WITHIN} s. Look at its log: docker compose logs worker"


def _refused(service: str, server: str, key: str, error: Exception) -> str:
    """The sentence for a service that has another password than the server that it needs."""
    return (
        f"{server} refuses the password of the {service} ({_first_line(error)}). "
        f"If you changed {key}, see docs/compose-upkeep.md, Renew keys; then docker compose up -d {service}"
    )


def _first_line(error: Exception) -> str:
    """The first line of a driver's message; the others are advice."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def main(service: str) -> int:
    """Check it; returns the exit code, 0 for healthy."""
    healthy, sentence = ping() if service == "worker" else heartbeat(service)
    print(sentence)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
