"""Serve a WSGI application: chiserve.py MODULE:NAME PORT [the application's own arguments].

Why waitress: uwsgi's http socket resets PUT requests that carry a body, and Keystone parses gunicorn's sys.argv.
Why one thread for Keystone, Placement and Neutron: they answer soon and wait for nobody who waits for them, and two
requests at once made SQLite refuse the second ("database is locked": see sitecustomize.py, which is the cure where
there are more processes than one).
"""

import importlib
import logging
import sys

import waitress

module, _, attribute = sys.argv[1].partition(":")
port = int(sys.argv[2])
sys.argv = [module, *sys.argv[3:]]
logging.getLogger("waitress").setLevel(logging.ERROR)
waitress.serve(
    getattr(importlib.import_module(module), attribute),
    host="127.0.0.1",
    port=port,
    threads=1 if module.startswith(("keystone.", "placement.", "neutron.")) else 8,
    clear_untrusted_proxy_headers=True,
    channel_timeout=300,
)
