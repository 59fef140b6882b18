# Copyright the edgebench developers. Apache-2.0.
"""The connection plugin ``edgebench.testbed.adb``."""

from __future__ import annotations

DOCUMENTATION = """
name: adb
short_description: Run commands on an Android device
description:
  - Reaches a phone or another Android device, over USB or TCP, through C(adb), the Android Debug Bridge, on the
    controller. The device needs no Python, no root and no app; modules that need Python do not work there, but
    M(ansible.builtin.raw), M(edgebench.testbed.shell) and M(edgebench.testbed.install_files) do.
  - Exit codes are those of the commands, and a link that broke is an unreachable host, where C(adb) itself may exit
    with 0. What is copied is compared by sha256.
  - Of the environment, what C(adb) knows is passed on, such as C(ANDROID_ADB_SERVER_PORT) and C(ADB_VENDOR_KEYS).
options:
  serial:
    description:
      - Which device; C(adb devices) lists them. A serial number of USB, or C(address:port) of a device that listens on
        TCP, which is then connected to. The port of an IP address is 5555 unless told.
      - There is no default, also where there is one device only; another one may be plugged in tomorrow.
    type: str
    default: ""
    vars:
      - name: ansible_host
      - name: adb_serial
  executable:
    description: The program C(adb) on the controller.
    type: str
    default: adb
    vars:
      - name: adb_executable
  timeout_s:
    description: Seconds to wait for the device to be there, and for a sign of life.
    type: int
    default: 10
    ini:
      - section: defaults
        key: timeout
    vars:
      - name: adb_timeout_s
  silence_s:
    description:
      - After how many seconds without output of a command, or while a file is copied, a sign of life is asked for. A
        device that gives none within I(timeout_s) is out of reach; one that does may take as long as it likes.
    type: int
    default: 10
    vars:
      - name: adb_silence_s
  directory:
    description:
      - Where on the device the input of commands lies while they run, when there is much of it, and on devices before
        Android 7 what they say on stderr.
    type: str
    default: /data/local/tmp
    vars:
      - name: adb_directory
author:
  - The edgebench developers (@edgebench)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from ansible_collections.edgebench.testbed.plugins.plugin_utils.adb import AdbError, Device, FileError

display = Display()

OPTIONS = ("serial", "executable", "timeout_s", "silence_s", "directory")


class Connection(ConnectionBase):
    transport = "edgebench.testbed.adb"
    has_pipelining = True
    allow_executable = False  # Ansible's is /bin/sh, which Android had not for long

    def _connect(self) -> Connection:
        if not self._connected:
            with self._explained():
                self._device = Device(**{name: self.get_option(name) for name in OPTIONS})
                self._device.connect()
            self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        display.vvv(f"EXEC {cmd}", host=self._device.serial)
        with self._explained():
            return tuple(self._device.run(cmd, in_data or b""))

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        self._connect()
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._device.serial)
        with self._explained():
            self._device.push(Path(in_path), out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        self._connect()
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._device.serial)
        with self._explained():
            self._device.pull(in_path, Path(out_path))

    def close(self) -> None:
        self._connected = False

    def reset(self) -> None:
        self._connected = False  # the next command looks where the device is, and connects again

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except AdbError as exc:
            raise AnsibleConnectionFailure(f"adb: {exc}") from None  # Ansible would show both
        except FileError as exc:
            raise AnsibleError(str(exc)) from None
        except OSError as exc:
            raise AnsibleError(f"cannot read or write {exc.filename}: {exc.strerror}") from None
        finally:
            while self._device.warnings:
                display.warning(f"adb: {self._device.warnings.pop(0)}")
