# Copyright the edgebench developers. Apache-2.0.
"""One site of Chameleon: logging in with python-chi, asking its services, waiting for what takes long there."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import credentials
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    GoneError,
    RefusedError,
    TestbedError,
    UnavailableError,
)

REQUEST_S = 60  # one answer; Blazar takes some seconds to end a lease
SAY_EVERY_S = 30
LOG_IN = "log in"  # what for

# A site's settings, for argument specs of modules.
SETTINGS = {
    "name": {"type": "str", "required": True},
    "auth_url": {"type": "str", "default": ""},
    "credentials": {"type": "str", "default": ""},
    "cloud": {"type": "str", "default": ""},
    "project": {"type": "str", "default": ""},
    "image": {"type": "str", "default": ""},
    "key": {"type": "str", "default": ""},
    "flavor": {"type": "str", "default": "baremetal"},
    "network": {"type": "str", "default": "sharednet1"},
    "public_network": {"type": "str", "default": "public"},
    "max_lease_hours": {"type": "float", "default": 168},
    "extend_within_hours": {"type": "float", "default": 48},
    "lease_id": {"type": "str", "default": ""},
}

# Whose exceptions are answers, or missing answers, of a testbed; others are mistakes of ours.
_CLIENTS = (
    "blazarclient",
    "chi",
    "glanceclient",
    "keystoneauth1",
    "keystoneclient",
    "neutronclient",
    "novaclient",
    "openstack",
    "requests",
    "zunclient",
)
_SILENCES = ("ConnectFailure", "ConnectTimeout", "ConnectionRefused", "ConnectionFailed", "ConnectionError", "Timeout")

Found = TypeVar("Found")


class Site:
    """A site that is logged in to; python-chi, of which each process has one, is set to it.

    Attributes:
        name: CHI@UC.
        settings: as in SETTINGS.
        source: where the credentials are from, in words.
        poll_s: between two looks at what is waited for, in seconds.
    """

    poll_s = 2.0

    def __init__(self, settings: Mapping[str, Any], say: Callable[[str], None] = lambda line: None) -> None:
        """Set python-chi to the site; the first question logs in.

        Args:
            settings: as in SETTINGS.
            say: shows a line to whoever watches.

        Raises:
            TestbedError: there are no credentials.
        """
        self.name, self.settings, self.say = settings["name"], settings, say
        with _quiet():
            found = credentials.find(self.name, settings, os.environ)
        self.source = found.source
        with _quiet(), _nothing_in_environment():
            import chi

            chi.reset()
            chi.set("auth_type", found.auth_type)
            for key, value in found.auth.items():
                chi.set(key, value)
            chi.set("region_name", self.name)
            chi.set("timeout", REQUEST_S)
            self.chi = chi

    blazar = cached_property(lambda self: self.chi.blazar())
    nova = cached_property(lambda self: self.chi.nova())
    neutron = cached_property(lambda self: self.chi.neutron())
    glance = cached_property(lambda self: self.chi.glance())
    zun = cached_property(lambda self: self.chi.zun())

    def login(self) -> str:
        """Log in, and return the project's id.

        Raises:
            TestbedError: the credentials are not accepted, or are of another project than the settings say.
        """
        project = self.ask(LOG_IN, lambda: self.chi.session().get_project_id())
        wanted = self.settings.get("project")
        if wanted and wanted != project:
            access = self.ask(LOG_IN, lambda: self.chi.session().session.auth.get_access(self.chi.session().session))
            if access.project_name != wanted:
                raise TestbedError(
                    f"{self.name}: {self.source} is of project {access.project_name}, and the inventory's project is "
                    f"{wanted}; correct chameleon_sites['{self.name}'].project, or take other credentials"
                )
        return project

    def ask(self, what: str, question: Callable[[], Found]) -> Found:
        """Return question()'s answer; `what` it is for is for messages.

        Raises:
            UnavailableError: no answer, or one that may be another in a while.
            GoneError: what it asks for is not there.
            RefusedError: the service does not do it; has the service's own reason.
        """
        try:
            with _quiet():
                return question()
        except Exception as exc:
            if type(exc).__module__.partition(".")[0] not in _CLIENTS:
                raise
            raise self._translated(what, exc) from exc

    def _translated(self, what: str, exc: Exception) -> TestbedError:
        status, reason = _status(exc), _reason(exc)
        if status == 401 or (what == LOG_IN and status == 404):  # of an application credential that is gone
            return RefusedError(
                f"{self.name} does not accept the credentials ({self.source}): wrong, expired or deleted. Make a new "
                "application credential there (Identity, Application Credentials) and put it in their place",
                status,
                reason,
            )
        if type(exc).__name__ in _SILENCES or isinstance(exc, OSError):
            return UnavailableError(f"{self.name}: cannot {what}: no answer ({silence(exc)})")
        if type(exc).__name__ in ("EndpointNotFound", "EmptyCatalog", "CatalogException"):
            return RefusedError(
                f"{self.name}: cannot {what}: no such service in this region ({reason}); is '{self.name}' written as "
                "the site writes it, and are the credentials of this site?"
            )
        if status == 404:
            return GoneError(f"{self.name}: cannot {what}: {reason}", status, reason)
        if status in (429, 502, 503, 504):
            return UnavailableError(f"{self.name}: cannot {what}: {reason} ({status})")
        return RefusedError(f"{self.name}: cannot {what}: {reason}", status, reason)

    def wait(
        self,
        what: str,
        look: Callable[[], tuple[Found | None, str]],
        seconds: float,
        setting: str = "",
    ) -> Found:
        """Look until there is something, and return it. A service that is away meanwhile is waited for as well.

        Args:
            what: is waited for, for messages.
            look: returns what was found, or None, and how it stands, in words.
            seconds: after so many it is an error.
            setting: the variable that says how many.

        Raises:
            TestbedError: it took too long; or whatever else `look` raises.
        """
        deadline = time.monotonic() + seconds
        said_at, said = time.monotonic(), ""
        while True:
            try:
                found, state = look()
                if found is not None:
                    return found
            except UnavailableError as exc:
                state = str(exc)
            now = time.monotonic()
            if now >= deadline:
                more = f"; wait longer with -e {setting}=..., or" if setting else ";"
                raise TestbedError(
                    f"{self.name}: waited {seconds:.0f} s for {what}, and it is {state}{more} play again: "
                    "what is there by then is used"
                )
            if state != said or now - said_at >= SAY_EVERY_S:
                self.say(f"{self.name}: waiting for {what}: {state} (for at most {deadline - now:.0f} s more)")
                said_at, said = now, state
            time.sleep(min(self.poll_s, max(0.0, deadline - now)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """python-chi prints and logs as it goes, and its imports warn: nothing for our user, who reads what we say."""
    before = logging.root.manager.disable
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _nothing_in_environment() -> Iterator[None]:
    """python-chi takes what it finds in the environment as defaults, whatever site that belongs to."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OS_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _status(exc: Exception) -> int:
    """HTTP's number, which each client keeps elsewhere; 0 where there is none."""
    for value in (
        *(getattr(exc, name, None) for name in ("http_status", "status_code", "code")),
        getattr(exc, "kwargs", {}).get("code"),  # blazarclient; its class has a code as well
    )[::-1]:
        if isinstance(value, int) and value:
            return value
    return 0


def _reason(exc: Exception) -> str:
    """What a service said, in one line without what only its operators want to know."""
    text = " ".join(str(exc).split())
    for cut in (" (HTTP ", " (Request-ID", " Neutron server returns request_ids"):
        text = text.partition(cut)[0]
    return text.removeprefix("ERROR: ")[:600] or type(exc).__name__


def silence(exc: Exception) -> str:
    """The heart of what requests and urllib3 say when nobody answers, each around the other."""
    text = " ".join(str(exc).split()).rpartition(": ")[2]
    while text.count(")") > text.count("("):
        text = text[: text.rindex(")")]
    if text.startswith("("):  # ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))
        text = re.findall(r"'([^']+)'", text)[-1]
    return text.rstrip("'\"") or type(exc).__name__
