# Copyright the edgebench developers. Apache-2.0.
"""The connection plugin ``edgebench.testbed.zun``."""

from __future__ import annotations

DOCUMENTATION = """
name: zun
short_description: Run commands in a container of CHI@Edge
description:
  - Reaches a container on a leased device through the calls of Zun, Chameleon's container service; the container needs
    no SSH server and no address, only sh and tar.
  - A command runs detached from the call that starts it, so it may take as long as it likes. Files go through in parts,
    and what arrives is checked by sha256.
options:
  container:
    description: The container's id.
    type: str
    required: true
    vars:
      - name: zun_container
  site:
    description: The site's settings, as in I(site) of M(edgebench.testbed.container).
    type: dict
    required: true
    vars:
      - name: zun_site
  part_kb:
    description: The most that goes through in one call (1 kB is 1024 bytes); the service takes small files only.
    type: int
    default: 512
    vars:
      - name: zun_part_kb
author:
  - The edgebench developers (@edgebench)
"""

import hashlib
import shlex
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.container_shell import ContainerShell, Output
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import SETTINGS, Site
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import SHA256

display = Display()

# Argument: the file, and where the chunk on stdin belongs.
_WRITE = 'dd of="$1" bs=1024 seek="$2" conv=notrunc 2>/dev/null'
_READ = 'dd if="$1" bs=1024 skip="$2" count="$3" 2>/dev/null'
_SUM = f'{SHA256}\nsha256 <"$1"'


class Connection(ConnectionBase):
    transport = "edgebench.testbed.zun"
    has_pipelining = True

    def _connect(self) -> Connection:
        if not self._connected:
            defaults = {key: spec.get("default") for key, spec in SETTINGS.items()}
            container = self.get_option("container")
            if not container:
                raise AnsibleConnectionFailure(
                    "no machine: no container is leased; play playbooks/provision.yml or site.yml"
                )
            try:
                site = Site(defaults | self.get_option("site"))
            except TestbedError as exc:
                raise AnsibleConnectionFailure(str(exc)) from None  # Ansible would show both
            self._shell_in_container = ContainerShell(site, container, self.get_option("part_kb") * 1024)
            self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        return tuple(self._run(cmd, in_data or b""))

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        self._connect()
        size_kb = self.get_option("part_kb")
        checksum = hashlib.sha256()
        try:
            with Path(in_path).open("rb") as file:
                self._sh(
                    f': >"$1" || exit 1; {_WRITE}', out_path, "0", stdin=self._next(file.read(size_kb * 1024), checksum)
                )
                number = 1
                while chunk := self._next(file.read(size_kb * 1024), checksum):
                    self._sh(_WRITE, out_path, str(number * size_kb), stdin=chunk)
                    number += 1
        except OSError as exc:
            raise AnsibleError(f"cannot read {in_path}: {exc.strerror}") from exc
        self._compare(out_path, checksum.hexdigest())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        self._connect()
        size_kb = self.get_option("part_kb")
        checksum, number = hashlib.sha256(), 0
        partial = Path(f"{out_path}.part")
        with partial.open("wb") as file:
            while chunk := self._next(self._sh(_READ, in_path, str(number * size_kb), str(size_kb)).stdout, checksum):
                file.write(chunk)
                number += 1
        self._compare(in_path, checksum.hexdigest())
        partial.replace(out_path)

    def close(self) -> None:
        if self._connected:
            self._connected = False
            try:
                self._shell_in_container.close()
            except TestbedError as exc:  # what is left is a small directory in a container that will be deleted
                display.vvv(str(exc))

    def reset(self) -> None:
        self._connected = False  # a new token

    @staticmethod
    def _next(chunk: bytes, checksum: Any) -> bytes:
        checksum.update(chunk)
        return chunk

    def _compare(self, path: str, expected: str) -> None:
        if (found := self._sh(_SUM, path).stdout.decode().strip()) != expected:
            raise AnsibleError(
                f"{path} did not go through whole: its sha256 is {found} in the container and {expected} here"
            )

    def _sh(self, script: str, *args: str, stdin: bytes = b"") -> Output:
        done = self._run(shlex.join(["sh", "-c", script, "sh", *args]), stdin)
        if done.code:
            raise AnsibleError(
                f"{args[0]} in the container: {done.stderr.decode(errors='replace').strip() or 'cannot be used'}"
            )
        return done

    def _run(self, command: str, stdin: bytes) -> Output:
        try:
            return self._shell_in_container.run(command, stdin)
        except TestbedError as exc:
            raise AnsibleConnectionFailure(str(exc)) from None  # Ansible would show both
