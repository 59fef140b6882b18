"""WSGI shim in front of zun-api: what Chameleon's fork accepts, and the limits of the proxy in front of it.

Why: python-chi talks to Chameleon's fork of Zun. It asks for microversion 1.41 (upstream stops at 1.40 and answers 406)
and sends `device_profiles` and `runtime: null`, which upstream's request schema refuses. Chameleon's services stand
behind proxies, which refuse bodies that are too large, and lose patience with an answer while the service goes on.
"""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

from zun.wsgi.api import application as zun_api

BODY_LIMIT = int(os.environ["CHILAB_BODY_LIMIT"])  # bytes
ANSWER_LIMIT_S = float(os.environ["CHILAB_ANSWER_LIMIT_S"])
POOL = ThreadPoolExecutor(max_workers=64)  # those that nobody waits for any more take threads as well


def application(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > BODY_LIMIT:
        return _refuse("413 Request Entity Too Large", start_response)
    body = environ["wsgi.input"].read(length)
    version = environ.get("HTTP_OPENSTACK_API_VERSION", "")
    if version.endswith(" 1.41"):
        environ["HTTP_OPENSTACK_API_VERSION"] = version.replace(" 1.41", " 1.40")
    if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].rstrip("/").endswith("/containers"):
        asked = json.loads(body or "{}")
        asked.pop("device_profiles", None)
        if asked.get("runtime", "") is None:
            del asked["runtime"]
        body = json.dumps(asked).encode()
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    try:
        status, headers, answer = POOL.submit(_ask, environ).result(timeout=ANSWER_LIMIT_S)
    except TimeoutError:
        return _refuse("504 Gateway Time-out", start_response)
    start_response(status, headers)
    return [answer]


def _ask(environ):
    """Return status, headers and body of zun-api's answer."""
    head = []
    answer = zun_api(environ, lambda status, headers, exc_info=None: head.append((status, headers)))
    return *head[-1], b"".join(answer)


def _refuse(status, start_response):
    """Answer as a proxy does: in HTML."""
    page = f"<html><body><h1>{status}</h1></body></html>".encode()
    start_response(status, [("Content-Type", "text/html"), ("Content-Length", str(len(page)))])
    return [page]
