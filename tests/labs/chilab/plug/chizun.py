"""Zun container driver: a container is a directory, exec is a process of this machine.

Why: Zun's real driver needs Docker and kuryr; its own fake driver has neither exec nor archives, which is all that
python-chi's users do with an edge container. No isolation whatever: a command runs as the user who started the lab,
with the container's directory as its working directory and as $CHILAB_ROOT. Paths given to put/get archive are taken
below that directory. Containers get no port, so they cannot get a floating IP.
"""

import io
import os
import pathlib
import shlex
import shutil
import subprocess
import tarfile
import uuid

from chifault import step
from zun.common import consts
from zun.objects import numa
from zun.tests.unit.container import fake_driver

ROOT = pathlib.Path(os.environ["CHILAB_CONTAINERS"])
RESOURCES = {"VCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 30}
EXEC_LIMIT = 300


class LocalDriver(fake_driver.FakeDriver):
    capabilities = {  # noqa: RUF012 - Zun's own has no type
        "support_sandbox": False,
        "support_standalone": True,
    }

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.execs = {}

    # What the node offers

    def get_available_resources(self):
        return {
            "architecture": "aarch64",
            "os_type": "linux",
            "os": "Raspbian",
            "kernel_version": "6.1",
            "labels": {},
            "cpus": 4,
            "cpu_used": 0,
            "enable_cpu_pinning": False,
            "numa_topology": numa.NUMATopology(nodes=[]),
            "mem_total": 4096,
            "mem_free": 4096,
            "mem_available": 4096,
            "mem_used": 0,
            "disk_total": 30,
            "disk_quota_supported": True,
            "runtimes": ["runc"],
            "total_containers": 0,
            "running_containers": 0,
            "paused_containers": 0,
            "stopped_containers": 0,
        }

    def get_total_disk_for_container(self):
        return 30, 0

    def get_host_mem(self):
        return 4096 * 1024, 4096 * 1024, 4096 * 1024, 0

    def get_pci_resources(self):
        return "[]"

    def update_provider_tree(self, tree, nodename):
        tree.update_inventory(
            nodename,
            {
                name: {
                    "total": total,
                    "reserved": 0,
                    "min_unit": 1,
                    "max_unit": total,
                    "step_size": 1,
                    "allocation_ratio": 1.0,
                }
                for name, total in RESOURCES.items()
            },
        )

    # Life of a container

    def pull_image(self, context, repo, tag, *arguments, **options):
        return {"image": repo, "path": None, "driver": "docker", "repo": repo, "tag": tag}, True

    def create(self, context, container, image, requested_networks, requested_volumes, *arguments, **options):
        step("container.create")
        self._root(container).mkdir(parents=True)
        container.container_id = uuid.uuid4().hex
        container.addresses = {
            net["network"]: [
                {
                    "addr": "10.0.0.5",
                    "version": 4,
                    "port": net.get("port"),
                    "subnet_id": None,
                    "preserve_on_delete": False,
                }
            ]
            for net in requested_networks or []
        }
        container.status = consts.RUNNING
        container.save(context)
        return container

    def start(self, context, container):
        container.status = consts.RUNNING
        return container

    def stop(self, context, container, timeout=None):
        container.status = consts.STOPPED
        return container

    def delete(self, context, container, force):
        step("container.delete")
        shutil.rmtree(self._root(container), ignore_errors=True)

    def show(self, context, container, *arguments):
        return container

    def list(self, context):
        return [], []

    def update_containers_states(self, context, containers, manager=None):
        pass

    def show_logs(self, context, container, **options):
        return b""

    # Commands and files

    def execute_create(self, context, container, command, interactive=False, **options):
        exec_id = uuid.uuid4().hex
        self.execs[exec_id] = container, command
        return exec_id

    def execute_run(self, exec_id, command=None):
        container, command = self.execs.pop(exec_id)
        root = self._root(container)
        try:
            done = subprocess.run(
                shlex.split(command) if isinstance(command, str) else command,
                cwd=root,
                env=os.environ | {"CHILAB_ROOT": str(root)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=EXEC_LIMIT,
            )
        except OSError as error:
            return f"exec failed: {error}\n".encode(), 127
        except subprocess.TimeoutExpired:
            return b"exec failed: took too long\n", 124
        return done.stdout, done.returncode

    def put_archive(self, context, container, path, data):
        target = self._path(container, path)
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(target)

    def get_archive(self, context, container, path):
        source = self._path(container, path)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(source, arcname=source.name)
        return buffer.getvalue(), {"name": source.name, "size": source.stat().st_size}

    @staticmethod
    def _root(container):
        return ROOT / container.uuid

    def _path(self, container, path):
        return self._root(container) / path.lstrip("/")
