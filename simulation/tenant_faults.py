"""The faults that a simulated tenant answers with on order."""

from __future__ import annotations

import asyncio
import bisect
import re
from collections.abc import Sequence

from aiohttp import web

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# What an answer begins with, and what of it then comes 20 times a second: nothing, a header, or white space of a body.
_ENDLESS = {"hang": (b"", b""), "drip": (_OK + b"X-Drip: ", b"x"), "drip body": (_OK + b"Content-Length: 99999\r\n\r\n", b" ")}


def error_answer(status: int, error: str, message: str, code: str | None = None) -> web.Response:
    """An error in Auth0's form."""
    answer = {"statusCode": status, "error": error, "message": message, **({"errorCode": code} if code else {})}
    return web.json_response(answer, status=status)


async def faulty_answer(
    fault: str, request: web.BaseRequest, url: str, ids: Sequence[str], texts: Sequence[str]
) -> web.StreamResponse:
    """Answer with a fault: a status code, or one of the names below.

    :param url: the tenant's; ``ids`` and ``texts`` are its log.
    """
    if fault in _ENDLESS and request.transport:
        beginning, more = _ENDLESS[fault]
        request.transport.write(beginning)
        for _ in range(72_000):  # an hour, or until the other side has had enough
            if request.transport.is_closing():
                break
            request.transport.write(more)
            await asyncio.sleep(0.05)
    if fault.isdigit():
        return error_answer(int(fault), "Error", "This is a fault that was asked for")
    at = bisect.bisect_right(ids, request.query.get("from", "0"))
    page = texts[at : at + 100]
    link = f'<{url}/api/v2/logs?from={ids[min(at + 99, len(ids) - 1)]}&take=100>; rel="next"'
    bodies: dict[str, str] = {
        "html": "<html><body>We are down for maintenance</body></html>",
        "broken": "[" + ",".join(page)[:-40],
        "object": '{"logs": [' + ",".join(page) + "]}",
        "no id": "[" + ",".join(re.sub(r'"(log_id|_id)": "\d+",? ?', "", text) for text in page) + "]",
        "twice": "[" + ",".join(texts[max(0, at - 100) : at + 1]) + "]",
        "stuck": "[" + ",".join(page) + "]",
    }
    if fault == "stuck":
        link = f'<{url}/api/v2/logs?from={request.query.get("from")}&take=100>; rel="next"'
    if fault in bodies:
        kind = "text/html" if fault == "html" else "application/json"
        return web.Response(text=bodies[fault], content_type=kind, headers={"Link": link})
    if fault == "not UTF-8":
        return web.Response(body=bodies["stuck"].encode() + b"\xe9", content_type="application/json")
    if fault == "blocked":  # by something in front of Auth0
        return web.Response(text=bodies["html"], content_type="text/html", status=403)
    if fault == "reset" and request.transport:
        request.transport.abort()
    return web.Response(status=500)
