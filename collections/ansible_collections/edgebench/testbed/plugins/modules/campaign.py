#!/usr/bin/python
# Copyright the edgebench developers. Apache-2.0.
"""The module ``edgebench.testbed.campaign``."""

from __future__ import annotations

DOCUMENTATION = """
module: campaign
short_description: Name a campaign, resume an unfinished one, write campaign.json
description:
  - Runs on the controller. Without I(record) it only finds out which campaign is meant. When I(name) is empty, that
    is the newest unfinished campaign of the same hosts and settings, else a new one, named by date and time (UTC).
  - With I(record) it writes C(<logs_dir>/<name>/campaign.json), once. A campaign that is there already must have been
    begun with the same settings, models and runners, or the module fails and says what differs.
options:
  name:
    description: Name of the campaign; the directory below I(logs_dir). Empty means resume or begin.
    type: str
    default: ""
  logs_dir:
    description: Where raw logs are kept on the controller.
    type: path
    required: true
  hosts:
    description: Names of the hosts that take part.
    type: list
    elements: str
    required: true
  settings:
    description:
      - What is measured; kept in campaign.json. Without it a campaign that is there already is meant, whatever it
        measures.
    type: dict
  seed:
    description: Seed of the order of runs. Empty means one that is drawn from the campaign's name.
    type: str
    default: ""
  resume_days:
    description: Unfinished campaigns older than this many days are not resumed unless they are named.
    type: int
    default: 7
  record:
    description:
      - What else belongs in campaign.json. C(models) is the list of model manifest entries, C(runners) says for each
        host what measures there, C(versions) is free. Hosts may be added to C(runners) later.
    type: dict
  kit_dir:
    description: The kit's checkout; its git revision is recorded.
    type: path
attributes:
  check_mode:
    support: full
  idempotent:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Find out which campaign is meant
  edgebench.testbed.campaign:
    logs_dir: logs
    hosts: [pi5]
    settings: {models: [MobileNet], variants: [float32, dynamic_range], max_repetitions: 10}
  delegate_to: localhost
"""

RETURN = """
name:
  description: The campaign's name.
  type: str
  returned: success
seed:
  description: The campaign's seed.
  type: int
  returned: success
resumed:
  description: Whether the campaign was begun earlier.
  type: bool
  returned: success
finished:
  description: Whether every host of it is done.
  type: bool
  returned: success
"""

import json
import os
import platform
import re
import subprocess
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

SCHEMA = 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")

SPEC = {
    "name": {"type": "str", "default": ""},
    "logs_dir": {"type": "path", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "settings": {"type": "dict"},
    "seed": {"type": "str", "default": ""},
    "resume_days": {"type": "int", "default": 7},
    "record": {"type": "dict"},
    "kit_dir": {"type": "path"},
}


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
        if settings is None or (record.get("settings") == settings and unfinished):
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


def ensure(params: dict[str, Any], now: datetime, check_mode: bool) -> dict[str, Any]:
    """Resolve the campaign and, where asked to, record it; return the module's result."""
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
    directory = logs_dir / name
    if not os.access(next(path for path in (directory, *directory.absolute().parents) if path.exists()), os.W_OK):
        raise CampaignError(f"cannot write to {directory}; choose another campaign_logs_dir")  # before models are built
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
    record = params["record"]
    if record is not None:
        asked |= {"models": record["models"], "runners": record["runners"]}
    if old is None:
        old = {"schema": SCHEMA, "created_utc": now.strftime(_TIME)}
        if record is not None:
            old["git"] = _git(params["kit_dir"])
            old["versions"] = {"python": platform.python_version(), **record["versions"]}
    else:
        known = {key: old.get(key) for key in asked}
        if record is not None:  # a host that joins late adds its runners; those that are known must stay
            known["runners"] = {**asked["runners"], **old.get("runners", {})}
            asked["runners"] = {**old.get("runners", {}), **asked["runners"]}
        if changed := differences(known, asked):
            more = f" (and {len(changed) - 3} more)" if len(changed) > 3 else ""
            raise CampaignError(
                f"campaign '{name}' was begun otherwise: {'; '.join(changed[:3])}{more}. "
                "Go on with what it was begun with, or choose another campaign_name"
            )
    if record is not None and old | asked != old:
        result["changed"] = True
        if not check_mode:
            _write(directory, old | asked)
    return result


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
    try:
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as exc:
        raise CampaignError(
            f"cannot write {path} ({exc.strerror}); choose another campaign_logs_dir, or make room"
        ) from exc


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        result = ensure(module.params, datetime.now(UTC), module.check_mode)
    except CampaignError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
