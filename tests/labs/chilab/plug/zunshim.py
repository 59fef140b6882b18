"""WSGI shim in front of zun-api.

Why: python-chi talks to Chameleon's fork of Zun. It asks for microversion 1.41 (upstream stops at 1.40 and answers 406)
and sends `device_profiles` and `runtime: null`, which upstream's request schema refuses.
"""

import io
import json

from zun.wsgi.api import application as zun_api


def application(environ, start_response):
    version = environ.get("HTTP_OPENSTACK_API_VERSION", "")
    if version.endswith(" 1.41"):
        environ["HTTP_OPENSTACK_API_VERSION"] = version.replace(" 1.41", " 1.40")
    if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].rstrip("/").endswith("/containers"):
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = json.loads(raw or "{}")
        body.pop("device_profiles", None)
        if body.get("runtime", "") is None:
            del body["runtime"]
        raw = json.dumps(body).encode()
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(raw), str(len(raw))
    return zun_api(environ, start_response)
