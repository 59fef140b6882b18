"""Zun container driver: a container has its own file system, processes and name, in namespaces of this machine.

Why: Zun's real driver needs Docker and kuryr; its own fake driver has neither exec nor archives, which is all that
python-chi's users do with an edge container. An image is one of the root file systems that SSH hosts have: the one with
Python where its name has "python" in it, else the one without. As in Docker, process 1 is the container's command (or,
without one, `sleep infinity`), exec enters the container as root, and archives go through the container's own tar.
Containers share this machine's network, get no port, and so cannot get a floating IP. A new zun-compute finds them
stopped, since their processes are children of the old one's.
"""

import contextlib
import io
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tarfile
import uuid

from chifault import step
from zun.common import consts, exception
from zun.conf import CONF
from zun.objects import container as container_objects
from zun.objects import numa
from zun.tests.unit.container import fake_driver

ROOT = pathlib.Path(os.environ["CHILAB_CONTAINERS"])
IMAGES = pathlib.Path(os.environ["CHILAB_IMAGES"])
START = pathlib.Path(__file__).with_name("container.sh")
RESOURCES = {"VCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 30}
NAMESPACES = ("--mount", "--uts", "--ipc", "--pid")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
NOT_RUNNING = "Container %s is not running"


class LocalDriver(fake_driver.FakeDriver):
    capabilities = {  # noqa: RUF012 - Zun's own has no type
        "support_sandbox": False,
        "support_standalone": True,
    }

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.inits = {}  # uuid of a container: the process that waits for its process 1, and the number of that
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
        self.start(context, container)  # Chameleon's containers always start at once
        container.save(context)
        return container

    def start(self, context, container):
        if not self._runs(container):
            self._boot(container)
        container.status = consts.RUNNING
        container.status_reason = None
        return container

    def stop(self, context, container, timeout=None):
        self._end(container)
        container.status = consts.STOPPED
        return container

    def kill(self, context, container, signal=None):
        return self.stop(context, container)

    def reboot(self, context, container, timeout=None):
        self._end(container)
        return self.start(context, container)

    def delete(self, context, container, force):
        step("container.delete")
        self._end(container)
        shutil.rmtree(self._directory(container), ignore_errors=True)

    def show(self, context, container, *arguments):
        if container.status == consts.RUNNING and not self._runs(container):
            container.status = consts.STOPPED
            container.status_reason = "Its process 1 has ended"
        return container

    def list(self, context):
        found = container_objects.Container.list_by_host(context, CONF.host)
        return [self.show(context, one) for one in found], []

    def update_containers_states(self, context, containers, manager=None):
        for one in containers:
            if self.show(context, one).obj_what_changed():
                one.save(context)

    def show_logs(self, context, container, **options):
        return (self._directory(container) / "log").read_bytes()

    def _boot(self, container):
        directory = self._directory(container)
        directory.mkdir(parents=True, exist_ok=True)
        image = IMAGES / ("python" if "python" in container.image else "nopython")
        name = container.hostname or container.container_id[:12]
        command = container.command or ["sleep", "infinity"]
        process = subprocess.Popen(
            [
                *("unshare", *NAMESPACES, "--fork", "--kill-child", "sh", str(START)),
                *(directory, image, name, container.workdir or "/"),
                *(*self._environment(container), *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        with process.stdout as said:
            pid = said.readline().strip()
        if not pid:
            process.wait()
            raise exception.ZunException(f"The container does not start: {self.show_logs(None, container).decode()}")
        self.inits[container.uuid] = process, int(pid)

    def _runs(self, container):
        process, _ = self.inits.get(container.uuid, (None, 0))
        return process is not None and process.poll() is None

    def _end(self, container):
        """End all processes of a container at once: the kernel does so when process 1 ends."""
        if self._runs(container):
            process, pid = self.inits[container.uuid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            process.wait()
        self.inits.pop(container.uuid, None)

    # Commands and files

    def execute_create(self, context, container, command, interactive=False, **options):
        exec_id = uuid.uuid4().hex
        self.execs[exec_id] = container, shlex.split(command) if isinstance(command, str) else command
        return exec_id

    def execute_run(self, exec_id, command=None):
        done = self._run(*self.execs.pop(exec_id), stderr=subprocess.STDOUT)
        return done.stdout, done.returncode if done.returncode >= 0 else 128 - done.returncode

    def put_archive(self, context, container, path, data):
        done = self._run(container, ["tar", "-x", "-C", f"/{path}", "-f", "-"], input=data)
        self._check(done)

    def get_archive(self, context, container, path):
        source = pathlib.PurePosixPath("/", path)
        done = self._run(container, ["tar", "-c", "-C", str(source.parent), "-f", "-", source.name or "."])
        self._check(done)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            first = archive.next()
        stat = {"name": source.name, "size": first.size, "mode": first.mode, "mtime": first.mtime, "linkTarget": ""}
        return done.stdout, stat

    def _run(self, container, words, stderr=subprocess.PIPE, **options):
        """Run words in a container; as in Docker, until nobody can write to their output any more."""
        if not self._runs(container):
            raise exception.Conflict(NOT_RUNNING % container.uuid)
        _, pid = self.inits[container.uuid]
        return subprocess.run(
            ["nsenter", f"--target={pid}", *NAMESPACES, "--root", "--wd", *self._environment(container), *words],
            stdout=subprocess.PIPE,
            stderr=stderr,
            **(options or {"stdin": subprocess.DEVNULL}),
        )

    @staticmethod
    def _check(done):
        if done.returncode:
            raise exception.Invalid(done.stderr.decode(errors="replace").strip())

    @staticmethod
    def _environment(container):
        """The words in front of a command that give it its environment, and nothing of ours."""
        environment = ENVIRONMENT | (container.environment or {})
        return ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]

    @staticmethod
    def _directory(container):
        return ROOT / container.uuid
