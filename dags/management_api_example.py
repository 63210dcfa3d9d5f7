"""An example, paused until you enable it: calls to the Management API that concern users, as an Airflow DAG of one route.

It sends {date, request, response} of each call, as auth0-api-hooks-webtask did. docs/recipes.md has more.
"""

from __future__ import annotations

from auth0_webhooks import Route, build_dag

route = Route(
    name="management_api_example",
    api_endpoints=["users"],
    body="{date: date, request: details.request, response: details.response}",
    start_from="now",
    watch="off",
)
dag = build_dag(route, [route])
dag.is_paused_upon_creation = True
