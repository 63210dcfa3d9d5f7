"""The simulated tenant and the receiver as services of docker-compose.yaml (``python -m demo.services tenant``).

Under ``/demo`` each reports its state as JSON and accepts commands:

    tenant     GET  /demo               {"events": [[log id, log type], ...]}
               POST /demo?add=500       append this many events
    receiver   GET  /demo               {"accepted": [log id, ...], "repeats": 0, "problems": []}
               POST /demo?delay=0.1     seconds to wait before each answer from now on
"""

from __future__ import annotations

import argparse
import signal
from typing import Any

from aiohttp import web

from simulation.receiver import Receiver
from simulation.tenant import Tenant

PORT = 8090


class TenantService(Tenant):
    """The tenant, with commands about its log."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer as Auth0 does, or under ``/demo``."""
        if request.path != "/demo":
            return await super().handle(request)
        if "add" in request.query:
            # One event per millisecond: a log only grows at its end.
            count = int(request.query["add"])
            self.add_many(count, seed=len(self.log()), spread=count / 1000)
        return web.json_response({"events": [[log_id, kind] for log_id, kind, _ in self.log()]})


class ReceiverService(Receiver):
    """The receiver, with commands about what it accepted."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Receive an event, or answer under ``/demo``."""
        if request.path != "/demo":
            return await super().handle(request)
        if "delay" in request.query:
            seconds = float(request.query["delay"])
            self.delay = lambda _post: seconds
        known: dict[str, Any] = {"accepted": self.accepted, "repeats": self.repeats, "problems": self.problems[:10]}
        return web.json_response(known)


def main() -> None:
    """Serve until a signal stops it."""
    parser = argparse.ArgumentParser(description="A service of the demo profile.")
    parser.add_argument("service", choices=("tenant", "receiver"))
    name = parser.parse_args().service
    service = TenantService(PORT, name=name) if name == "tenant" else ReceiverService(PORT, name=name)
    with service.running():
        print(f"{name} at {service.url}", flush=True)
        signal.pause()  # until a signal stops it


if __name__ == "__main__":
    main()
