# Copyright the edgebench developers. Apache-2.0.
"""What the documentation of actions shares that install a program of one file; their arguments are programs.SPEC."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = """
options:
  dest:
    description: Path on the host.
    type: str
    required: true
  path:
    description: The program or APK on the controller. Comes before I(url).
    type: path
    default: ""
  url:
    description: Where it is downloaded from. It may have a password in it, which is not shown.
    type: str
    default: ""
  sha256:
    description: What its sha256 must be.
    type: str
    default: ""
  platform:
    description: The platform that it is built for, for messages.
    type: str
    default: ""
  allow_unpinned:
    description: Take a download without I(sha256).
    type: bool
    default: false
  cache_dir:
    description: Directory on the controller that keeps downloads.
    type: path
    required: true
  fetch_on_host:
    description: Let the host download it, where I(sha256) says what it must be.
    type: bool
    default: false
"""
