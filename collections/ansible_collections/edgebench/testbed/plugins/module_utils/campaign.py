# Copyright the edgebench developers. Apache-2.0.
"""Which campaign is meant, and what campaign.json keeps of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import subprocess
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils import plan
from ansible_collections.edgebench.testbed.plugins.module_utils.controller import Controller

SCHEMA = 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# Of a model's entry: what makes it no other model.
_BESIDE = (
    "url",
    "format",
    "macs",
    "activation_mb",
    "compressed_bytes",
    "evaluated_on",
    "evaluated_images",
    "correct_images",
    "classes",
    "weight_sparsity",
    "weight_clusters",
    "target",
    "kernels",
    "tuned_kernels",
    "tuning_minutes",
    "compiled_from_sha256",
    "arithmetic",
    "remark",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")


class CampaignError(Exception):
    """The campaign cannot go on; the message is one line for the user."""


def read(directory: Path) -> dict[str, Any] | None:
    """Return campaign.json of a campaign's directory, or None where there is none."""
    path = directory / "campaign.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise CampaignError(f"{path} cannot be read ({exc}); mend it or choose another campaign_name") from exc


def is_finished(directory: Path, hosts: list[str]) -> bool:
    """Every host's DONE has come home."""
    return all((directory / host / "DONE").exists() for host in hosts)


def find(logs_dir: Path, hosts: list[str], settings: dict[str, Any] | None, since: datetime) -> str | None:
    """Return the name of the newest campaign of these hosts: with `settings`, one of the same that is not finished."""
    found = []
    for path in logs_dir.glob("*/campaign.json"):
        try:
            record = read(path.parent) or {}
        except CampaignError:
            continue  # somebody else's trouble: only a campaign that is named must be readable
        if record.get("hosts") != hosts:
            continue
        created = record.get("created_utc", "")
        unfinished = created >= since.strftime(_TIME) and not is_finished(path.parent, hosts)
        if settings is None or (unfinished and _complete(record.get("settings")) == _complete(settings)):
            found.append((created, path.parent.name))
    return max(found)[1] if found else None


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Name what differs between two JSON values: 'settings.threads was [1], is [4]'."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted({*old, *new}):
            found += differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, pair in enumerate(zip(old, new, strict=True)) for line in differences(*pair, f"{where}[{i}]")
        ]
    return [] if old == new else [f"{where} was {json.dumps(old)}, is {json.dumps(new)}"]


def ensure(params: dict[str, Any], now: datetime, check_mode: bool, player: Controller | None = None) -> dict[str, Any]:
    """Resolve the campaign and, where asked to, record it; return the task's result.

    Args:
        params: the action's arguments.
        now: in UTC.
        check_mode: write nothing.
        player: the play that wants to carry on with the campaign; refused while another one does.

    Raises:
        CampaignError: it cannot be named, read or written, was begun otherwise, or another play is at it.
    """
    logs_dir, hosts, settings = Path(params["logs_dir"]), params["hosts"], params["settings"]
    name = params["name"] or find(logs_dir, hosts, settings, now - timedelta(days=params["resume_days"]))
    if not name and settings is None:
        raise CampaignError(
            f"{logs_dir} holds no campaign of {', '.join(hosts)}; play site.yml, or give -e campaign_name=..."
        )
    name = name or now.strftime("%Y-%m-%dT%H-%M-%SZ")
    if not _NAME.match(name):
        raise CampaignError(
            f"campaign_name '{name}' cannot name a directory: only letters, digits and . _ + - may stand in it"
        )
    if bad := [host for host in hosts if not _NAME.match(host)]:
        raise CampaignError(
            f"host '{bad[0]}' cannot name a directory: only letters, digits and . _ + - may stand in a host's "
            "name in the inventory; its address goes in ansible_host"
        )
    directory = logs_dir / name
    if not os.access(next(path for path in (directory, *directory.absolute().parents) if path.exists()), os.W_OK):
        raise CampaignError(f"cannot write to {directory}; choose another campaign_logs_dir")  # before models are built
    if params["record"] is None or check_mode:
        return _ensure(params, name, now, check_mode)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):  # hosts add themselves at the same time
            if player:
                _claim(directory, player)
            return _ensure(params, name, now, check_mode)
    except OSError as exc:
        raise CampaignError(
            f"cannot write to {directory} ({exc.strerror}); choose another campaign_logs_dir, or make room"
        ) from exc


def _ensure(params: dict[str, Any], name: str, now: datetime, check_mode: bool) -> dict[str, Any]:
    hosts, settings, record = params["hosts"], params["settings"], params["record"]
    directory = Path(params["logs_dir"]) / name
    old = read(directory)
    # The seed follows from the name, so that a campaign that is begun again in the same name has the same order.
    seed = int(params["seed"]) if params["seed"] else zlib.crc32(name.encode())
    if old is not None:
        seed = int(params["seed"] or old["seed"])
    result = {
        "name": name,
        "seed": seed,
        "resumed": old is not None,
        "finished": old is not None and is_finished(directory, hosts),
        "changed": False,
    }
    if settings is None:
        return result
    asked = {"campaign": name, "hosts": hosts, "settings": settings, "seed": seed}
    if record is not None:
        asked |= {"models": record["models"], "runners": record.get("runners") or {}}
    if old is None:
        old = {"schema": SCHEMA, "created_utc": now.strftime(_TIME)}
        if record is not None:
            old["git"] = _git(params["kit_dir"])
            old["versions"] = {"python": platform.python_version(), **record["versions"]}
    else:
        known = {key: old.get(key) for key in asked}
        if set(known["hosts"]) < set(hosts):
            known["hosts"] = hosts  # an inventory may grow in mid-campaign; a host that went away took numbers with it
        if record is not None:  # a host that joins late, or is not there, may be the only one of its kind of CPU
            known["models"], _ = _split(known["models"], asked["models"])
            asked["models"], of_joining = _split(asked["models"], old["models"])
        for key, what_counts in (("settings", _complete), ("models", _what)):
            if key in asked:
                was, now_is = what_counts(known[key]), what_counts(asked[key])
                known[key], asked[key] = (known[key], known[key]) if was == now_is else (was, now_is)
        if record is not None:  # a host that joins late adds its runners; those that are known must stay
            known["runners"] = {**asked["runners"], **old.get("runners", {})}
            asked["runners"] = {**old.get("runners", {}), **asked["runners"]}
        if changed := differences(known, asked):
            more = f" (and {len(changed) - 3} more)" if len(changed) > 3 else ""
            raise CampaignError(
                f"campaign '{name}' was begun otherwise: {'; '.join(changed[:3])}{more}. "
                "Go on with what it was begun with, or choose another campaign_name"
            )
        if record is not None:
            asked["models"] = old["models"] + of_joining
    if record is not None and old | asked != old:
        result["changed"] = True
        if not check_mode:
            _write(directory, old | asked)
    return result


def _complete(settings: dict[str, Any] | None) -> dict[str, Any]:
    """With the defaults of those that the kit did not have yet when the campaign began."""
    return plan.DEFAULTS | (settings or {})


def _what(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In one order, without where each was had from and facts not every kit has: its sha256 says what it is.

    Images held out are no models: not every kit has them, and an evaluation says itself which it was made with.
    """
    measured = [model for model in models if model.get("format") != "npz"]
    bare = [{key: value for key, value in model.items() if key not in _BESIDE} for model in measured]
    return sorted(bare, key=lambda model: model.get("file", ""))


def _split(models: list[dict[str, Any]], others: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], ...]:
    """Those that can be compared with others, and libraries for targets of which there are none among the others."""
    targets = {None, *(model.get("target") for model in others)}
    return tuple([model for model in models if (model.get("target") in targets) is common] for common in (True, False))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory itself; the lock goes with the process, however that ends."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _claim(directory: Path, player: Controller) -> None:
    """Note that `player` carries on with the campaign.

    Raises:
        CampaignError: another play on this machine does. (Of other machines' plays the hosts tell.)
    """
    path = directory / ".player"
    holder = Controller.parse(path.read_text(encoding="utf-8")) if path.exists() else None
    if holder and holder != player and holder.host == player.host and not holder.is_gone():
        raise CampaignError(
            f"{holder.shown} is playing campaign '{directory.name}' already; wait for it or end it, then play again"
        )
    if holder != player:
        path.write_text(f"{player}\n", encoding="utf-8")


def _git(kit_dir: str | None) -> dict[str, Any]:
    """The revision of the kit and whether it was changed since; unknown = None (no git, or not a checkout)."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=kit_dir, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    revision = git("rev-parse", "HEAD")
    return {"revision": revision, "dirty": bool(git("status", "--porcelain")) if revision else None}


def _write(directory: Path, record: dict[str, Any]) -> None:
    path = directory / "campaign.json"
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
