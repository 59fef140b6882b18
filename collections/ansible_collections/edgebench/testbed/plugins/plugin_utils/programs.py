# Copyright the edgebench developers. Apache-2.0.
"""A program that is one file, given by the user or downloaded, as it shall be on a host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.downloads import (
    DownloadError,
    ensure_download,
    public_url,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import Parcel, file_sha256

SPEC = {
    "dest": {"type": "str", "required": True},
    "path": {"type": "path", "default": ""},
    "url": {"type": "str", "default": ""},
    "sha256": {"type": "str", "default": ""},
    "platform": {"type": "str", "default": ""},
    "allow_unpinned": {"type": "bool", "default": False},
    "cache_dir": {"type": "path", "required": True},
    "fetch_on_host": {"type": "bool", "default": False},
}
"""Arguments of an action that installs one."""


def described(args: dict[str, Any], mode: str, say: Callable[[str], None], check: bool) -> Parcel | None:
    """The program as it shall be on the host; None when that is known only after a download, which `check` forbids.

    Args:
        args: of an action that has SPEC; I(dest) is named as the settings are.
        mode: of the file on the host.
        say: shows a line to whoever watches.
        check: download nothing.

    Raises:
        HostError: it is not there, or not the one that is meant.
    """
    wanted, platform, name = args["sha256"].lower(), args["platform"], _setting(args)
    if args["path"]:
        path = Path(args["path"]).absolute()
        if not path.is_file():
            raise HostError(f"{name}_path names '{args['path']}', and there is no such file on the controller")
        found = file_sha256(path)
        if wanted not in ("", found):
            raise HostError(
                f"{path} has the sha256 {found}, and {name}_sha256 asks for {wanted}; correct the setting or the file"
            )
        return Parcel(args["dest"], found, mode, src=path)
    if not wanted and not args["allow_unpinned"]:
        raise HostError(
            f"no sha256 for the {name} of {platform}, which is a nightly build and changes. Download it with "
            f"'curl -fLO {public_url(args['url'])}' and set '{name}_path: {{{platform}: FILE}}', or set "
            f"'{name}_sha256: {{{platform}: SUM}}' to what sha256sum says of it; "
            f"'{name}_allow_unpinned: true' takes what comes and records its sha256"
        )
    kept = wanted or f"unpinned-{hashlib.sha256(args['url'].encode()).hexdigest()[:16]}"
    cached = Path(args["cache_dir"], kept, Path(args["dest"]).name)
    if wanted:
        return Parcel(args["dest"], wanted, mode, src=cached, url=args["url"])
    if check and not cached.is_file():
        return None
    # Not for the host to fetch: only what is here has a sha256.
    program = Parcel(args["dest"], "", mode, src=cached)
    return Parcel(args["dest"], ensure_local(args, program, say), mode, src=cached)


def ensure_local(args: dict[str, Any], program: Parcel, say: Callable[[str], None]) -> str:
    """Ensure that the controller has what it is to send; return its sha256."""
    if args["path"]:
        return program.sha256
    try:
        return ensure_download(args["url"], program.src, program.sha256, say)
    except (DownloadError, OSError) as exc:
        raise HostError(
            f"cannot download {public_url(args['url'])}: {str(exc).rstrip('.')}. Correct {_setting(args)}_url or "
            f"{_setting(args)}_sha256, or give the file as {_setting(args)}_path"
        ) from exc


def _setting(args: dict[str, Any]) -> str:
    """What the names of the settings begin with, which are for this program."""
    return Path(args["dest"]).stem
