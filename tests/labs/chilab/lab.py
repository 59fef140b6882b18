"""A lab that is up: its processes, the ways in, and what tests can do to it."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.labs import common, sshlab
from tests.labs.chilab import cloud, packages, services
from tests.labs.chilab.cloud import Cloud, HttpError, send
from tests.labs.chilab.services import APIS, BLAZARS, DATABASES, DEVICES, EDGE, NODES, PORTS, UC
from tests.labs.common import LabError, run, spawn, wait_for

START_DEADLINE_S = 300
DEADLINE_S = 90
PAUSE_S = 0.2  # between questions: their answers cost what the services want for starting
# Below those that the kernel hands out to whoever connects somewhere.
PORT_BASES = range(21000, 32000, 20)
# What can be held or made to fail.
STEPS = ("lease.start", "lease.end", "server.boot", "server.delete", "container.create", "container.delete")
BLAZAR_AT = {UC: "blazar", EDGE: "blazar-edge"}
CONSOLE = """[    0.000000] Linux version 5.15.0-131-generic (buildd@lcy02-amd64-057)
[    8.310427] cloud-init[1043]: Cloud-init v. 24.4-0ubuntu1~22.04.1 running 'init'

Ubuntu 22.04.5 LTS ttyS0

login: """


class ChiLab:
    """A testbed that is up within `with`; it ends with our process, however that comes, and nothing of it stays.

    Its sites are CHI@UC (two nodes, reservable floating IPs) and CHI@Edge (three devices, containers). Services
    are named as in services.APIS, and nova-conductor, nova-scheduler, chi-node-01, chi-node-02, blazar-manager,
    blazar-edge-manager, zun-compute, rabbitmq. Steps are those of STEPS.

    Args:
        addresses: the floating IPs, in one network of 254 and below .220. Those of an SshLab's hosts are answered.
    """

    def __init__(self, addresses: Sequence[str] = cloud.FLOATING_IPS):
        self.addresses = addresses

    @staticmethod
    def missing() -> str:
        """What this machine lacks for a lab, in words; "" for nothing."""
        lacks = common.lacking("chilab", made=packages.made(), root=True) or sshlab.SshLab.missing()
        if sys.version_info[:2] != packages.PYTHON:
            wanted = ".".join(map(str, packages.PYTHON))
            lacks = "; ".join(filter(None, [lacks, f"Python {wanted}, for which its packages are pinned"]))
        return lacks

    # Up and down

    def __enter__(self) -> ChiLab:
        with contextlib.ExitStack() as stack:
            made, roots = packages.make_packages(), sshlab.make_roots()
            self.directory = stack.enter_context(common.own_directory())
            self.layout = services.Layout(made, roots, self.directory, stack.enter_context(_free_ports()))
            services.configure(self.layout)
            self.say_on_console(CONSOLE)
            self._services = {service.name: service for service in services.services(self.layout)}
            self._processes: dict[str, subprocess.Popen[str]] = {}
            self._since: dict[str, datetime.datetime] = {}
            stack.callback(self._end_all)
            self._admin = Cloud(self.layout)
            self._member = Cloud(self.layout, cloud.MEMBER, cloud.PROJECT, cloud.DOMAIN)
            self._other = Cloud(self.layout, cloud.OTHER_MEMBER, cloud.OTHER_PROJECT, cloud.DOMAIN)
            self._taken: dict[str, list[str]] = {}
            with ThreadPoolExecutor() as pool:
                self._start_all(pool)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _start_all(self, pool: ThreadPoolExecutor) -> None:
        self._start("epmd")
        self._await("epmd")
        self._start("rabbitmq")
        for made in [pool.submit(self._bring_api, name) for name in DATABASES]:
            made.result()
        self._await("rabbitmq")
        for name in self._services:
            if name not in self._processes and name not in NODES:
                self._start(name)
        # a compute that asks before the conductor listens loses ten seconds
        self._await("nova-conductor")
        for node in NODES:
            self._start(node)
        for name in APIS:
            self._await(name)
        for filled in [
            pool.submit(cloud.fill_networks, self._admin, self.addresses),
            pool.submit(cloud.fill_images, self._admin),
            pool.submit(cloud.fill_nova, self._admin),
        ]:
            filled.result()
        for name in self._services:
            self._await(name)
        cloud.fill_blazar(self._admin, self.addresses)
        self._credentials = cloud.credentials(self.layout)
        self._project = self._member.login()["project"]["id"]

    def _bring_api(self, name: str) -> None:
        """Make the database of an API, and start it."""
        environment = self.layout.environment()
        config = self.layout.config(name)
        tool = (*common.ENDS_WITH_US, self.layout.python)
        options = {"env": environment, "cwd": self.directory, "timeout_s": START_DEADLINE_S}
        run(*tool, services.HERE / "plug/chidb.py", name, config, **options)
        if name == "keystone":
            url = self.layout.url("keystone", "/v3")
            urls = [word for kind in ("admin", "internal", "public") for word in (f"--bootstrap-{kind}-url", url)]
            manage = (*tool, self.layout.scripts / "keystone-manage", "--config-file", config)
            known = ("--bootstrap-password", self.layout.secret, "--bootstrap-region-id", UC)
            run(*manage, "bootstrap", *known, *urls, **options)
        self._start(name)
        if name == "keystone":
            self._await(name)
            cloud.fill_keystone(self._admin)

    def _start(self, name: str) -> None:
        service = self._services[name]
        with (self.layout.log / f"{name}.out").open("a") as log:
            self._processes[name] = spawn(
                *services.PARENT_OF_ALL,
                *service.command,
                cwd=self.directory,
                env=self.layout.environment() | service.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._since[name] = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)

    def _end_all(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    # Whether services are ready

    def _await(self, name: str) -> None:
        ready: dict[str, Callable[[], object]] = {
            "epmd": lambda: _listens(self.layout.port("epmd")),
            "rabbitmq": lambda: _speaks_amqp(self.layout.port("rabbitmq")),
            "nova-conductor": lambda: "Starting conductor node" in self._log("nova-conductor"),
            "nova-scheduler": lambda: self._nova_reports("nova-scheduler"),
            **{node: lambda node=node: self._nova_reports("nova-compute", node) for node in NODES},
            **{
                f"{api}-manager": lambda api=api: self._admin("GET", api, "/v1/leases", timeout_s=10) for api in BLAZARS
            },
            "zun-compute": self._zun_reports,
            **{name: lambda name=name: self._answers(name) for name in APIS},
        }
        wait_for(f"{name} ({self.layout.log})", START_DEADLINE_S, self._watched(name, ready[name]), PAUSE_S)

    def _watched(self, name: str, check: Callable[[], object]) -> Callable[[], bool]:
        """Make a check of one that may raise HttpError, which raises LabError when the process has ended."""

        def checked() -> bool:
            if self._processes[name].poll() is not None:
                raise LabError(f"{name} has ended: {self._log(name)[-2000:]}")
            try:
                return bool(check())
            except HttpError:
                return False

        return checked

    def _log(self, name: str) -> str:
        """What a service has said since it was started: all of it, since files are new with each start."""
        texts = [self.layout.log / f"{name}.{kind}" for kind in ("out", "log")]
        return "\n".join(path.read_text(errors="replace") for path in texts if path.exists())

    def _answers(self, name: str) -> bool:
        """An API is there when it says anything but a server error to an anonymous question."""
        try:
            send("GET", self.layout.url(name, "/v3" if name == "keystone" else "/"), timeout_s=5)
        except HttpError as error:
            return 0 < error.status < 500 or isinstance(error.__cause__, ValueError)
        return True

    def _nova_reports(self, binary: str, host: str = "") -> bool:
        """Nova knows of a service that reported since it was started; a row of an earlier one counts as up for long."""
        rows = self._admin("GET", "nova", "/v2.1/os-services")["services"]
        fresh = any(
            row["binary"] == binary
            and row["host"] == (host or row["host"])
            and self._is_fresh(row["updated_at"], host or binary)
            for row in rows
            if row["state"] == "up"
        )
        known = [
            row["hypervisor_hostname"] for row in self._admin("GET", "nova", "/v2.1/os-hypervisors")["hypervisors"]
        ]
        return fresh and (not host or host in known)

    def _zun_reports(self) -> bool:
        rows = self._admin("GET", "zun", "/v1/services")["services"]
        return any(
            row["state"] == "up"
            and self._is_fresh(row["last_seen_up"] or row["updated_at"] or row["created_at"], "zun-compute")
            for row in rows
        )

    def _is_fresh(self, time: str | None, name: str) -> bool:
        return bool(time) and datetime.datetime.fromisoformat(time).replace(tzinfo=None) >= self._since[name]

    # How to reach it

    def environment(self, site: str = UC, kind: str = "application_credential") -> dict[str, str]:
        """The OS_* variables of an ordinary member of a project, for a site.

        Args:
            site: CHI@UC or CHI@Edge.
            kind: "application_credential" or "password".
        """
        _blazar_at(site)
        return self._credentials[kind] | {
            "OS_AUTH_URL": self.layout.url("keystone", "/v3"),
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": site,
            "OS_INTERFACE": "public",
        }

    def clouds_yaml(self) -> str:
        """The text of a clouds.yaml with the clouds `uc` (application credential) and `edge` (password)."""
        clouds = {"uc": self.environment(UC), "edge": self.environment(EDGE, "password")}
        return yaml.safe_dump({"clouds": {name: _cloud(variables) for name, variables in clouds.items()}})

    def openrc(self, site: str = UC, kind: str = "application_credential") -> str:
        """The text of the file for a shell that Chameleon's web interface offers; arguments as of environment()."""
        lines = [f'export {name}="{value}"\n' for name, value in self.environment(site, kind).items()]
        return "#!/usr/bin/env bash\n\n" + "".join(lines)

    # What happens to services

    def stop(self, name: str) -> None:
        """End a service as a crash does; an API then refuses connections."""
        process = self._process(name)
        process.kill()
        process.wait()

    def start(self, name: str) -> None:
        """Start a service that was stopped, and wait until it is ready."""
        if self._process(name).poll() is None:
            raise LabError(f"{name} runs already")
        for kind in ("out", "log"):
            (self.layout.log / f"{name}.{kind}").unlink(missing_ok=True)
        self._start(name)
        self._await(name)

    def restart(self, name: str) -> None:
        """Stop a service and start it again."""
        self.stop(name)
        self.start(name)

    def hang(self, name: str) -> None:
        """Have a service do nothing until start() or resume(): connections are made, and nobody answers."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Have a service that hangs go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: int) -> None:
        parent = self._process(name).pid
        for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            os.kill(int(pid), number)

    def _process(self, name: str) -> subprocess.Popen[str]:
        if name not in self._processes:
            raise LabError(f"there is no service {name}, only {', '.join(self._processes)}")
        return self._processes[name]

    # What happens to leases, servers and containers

    def hold(self, step: str) -> None:
        """Have what comes to this step wait there until release() or fail()."""
        self._tell(step, "hold")

    def fail(self, step: str) -> None:
        """Have what comes to this step, or waits there, fail; until release()."""
        self._tell(step, "fail")

    def release(self, step: str) -> None:
        """Have this step done again as it should be."""
        self._fault(step).unlink(missing_ok=True)

    def _tell(self, step: str, what: str) -> None:
        _replace(self._fault(step), what)

    def _fault(self, step: str) -> Path:
        if step not in STEPS:
            raise LabError(f"there is no step {step}, only {', '.join(STEPS)}")
        return self.layout.faults / step

    def say_on_console(self, text: str, address: str = "") -> None:
        """Have this, and nothing else, on servers' consoles: of the one with this floating IP, or of all others."""
        _replace(self.layout.consoles / (address or "all"), text)

    def kill_container(self, container: str) -> None:
        """End all processes of a container (its id), and wait until Zun knows."""
        path = f"/v1/containers/{container}"
        self._member("POST", "zun", f"{path}/kill")

        def stopped() -> bool:
            return self._member("GET", "zun", path)["status"] == "Stopped"

        wait_for(f"the end of container {container}", DEADLINE_S, stopped, PAUSE_S)

    def occupy(self, site: str = UC, start: datetime.datetime | None = None) -> None:
        """Have somebody else lease all nodes or devices of a site: further leases are refused, as on a busy testbed.

        From now on for two hours, or from `start` on.
        """
        blazar = _blazar_at(site)
        if site == UC:
            wanted = [_reservation("physical:host", "$node_type", node_type, 1) for node_type in NODES.values()]
        else:
            wanted = [_reservation("device", "$machine_name", machine, count) for machine, count in DEVICES.items()]
        end = (start or datetime.datetime.now(datetime.UTC)) + datetime.timedelta(hours=2)
        begin = f"{start:%Y-%m-%d %H:%M}" if start else "now"
        lease = {"name": "somebody else's", "start_date": begin, "end_date": f"{end:%Y-%m-%d %H:%M}", "events": []}
        made = self._other("POST", blazar, "/v1/leases", lease | {"reservations": wanted})["lease"]["id"]
        self._taken.setdefault(site, []).append(made)
        if start:
            return
        wait_for(
            "somebody else's lease", DEADLINE_S, lambda: self._status(self._other, blazar, made) == "ACTIVE", PAUSE_S
        )

    def vacate(self, site: str = UC) -> None:
        """End what occupy() did."""
        for lease in self._taken.pop(site, []):
            self._other("DELETE", _blazar_at(site), f"/v1/leases/{lease}")

    @staticmethod
    def _status(who: Cloud, blazar: str, lease: str) -> str:
        return who("GET", blazar, f"/v1/leases/{lease}")["lease"]["status"]

    def left(self) -> dict[str, list[str]]:
        """The ids of what the member's project has, of each kind of which it has any; {} when it has nothing."""
        ask = self._member
        found = {
            f"leases of {site}": [
                one["id"] for one in ask("GET", blazar, "/v1/leases")["leases"] if one["status"] != "TERMINATED"
            ]
            for site, blazar in BLAZAR_AT.items()
        }
        found["servers"] = [one["id"] for one in ask("GET", "nova", "/v2.1/servers")["servers"]]
        found["containers"] = [one["uuid"] for one in ask("GET", "zun", "/v1/containers")["containers"]]
        pairs = ask("GET", "nova", "/v2.1/os-keypairs")["keypairs"]
        found["key pairs"] = [one["keypair"]["name"] for one in pairs]
        for kind in ("floatingips", "ports"):
            mine = ask("GET", "neutron", f"/v2.0/{kind}?project_id={self._project}")[kind]
            found[kind.replace("ips", " IPs")] = [one["id"] for one in mine]
        return {kind: ids for kind, ids in found.items() if ids}

    def reset(self) -> None:
        """Make the testbed as it was at first: nothing is held, fails or is stopped, and nobody has anything."""
        for step in STEPS:
            self.release(step)
        for console in self.layout.consoles.iterdir():
            console.unlink()
        self.say_on_console(CONSOLE)
        for name, process in self._processes.items():
            if process.poll() is not None:
                self.start(name)
            self.resume(name)
        for site in list(self._taken):
            self.vacate(site)
        if self.left():
            wait_for(f"an empty project, not {self.left()}", DEADLINE_S, self._tidied, PAUSE_S)

    def _tidied(self) -> bool:
        """Delete what there is; says whether there was nothing."""
        left = self.left()
        paths = {
            "servers": ("nova", "/v2.1/servers/"),
            "containers": ("zun", "/v1/containers/"),
            **{f"leases of {site}": (blazar, "/v1/leases/") for site, blazar in BLAZAR_AT.items()},
            "key pairs": ("nova", "/v2.1/os-keypairs/"),
            "floating IPs": ("neutron", "/v2.0/floatingips/"),
            "ports": ("neutron", "/v2.0/ports/"),
        }
        for kind, (service, path) in paths.items():
            if kind == "floating IPs" and left.get("leases of CHI@UC"):
                continue  # they go with their lease
            for one in left.get(kind, ()):
                with contextlib.suppress(HttpError):  # it may just be going, or may not be deleted at the moment
                    force = "?force=True&stop=False" if service == "zun" else ""
                    version = {"OpenStack_API_Version": "container 1.41"} if service == "zun" else {}
                    self._member("DELETE", service, f"{path}{one}{force}", **version)
        return not left


def host_keys_on_console(*public_keys: str) -> str:
    """What cloud-init prints on a console of a host that has these public keys."""
    keys = "".join(f"{key.strip()}\n" for key in public_keys)
    return f"-----BEGIN SSH HOST KEY KEYS-----\n{keys}-----END SSH HOST KEY KEYS-----\n"


def _cloud(variables: dict[str, str]) -> dict[str, Any]:
    """An entry of clouds.yaml that says what OS_* variables say."""
    settings: dict[str, Any] = {name.removeprefix("OS_").lower(): value for name, value in variables.items()}
    of_all = ("auth_type", "region_name", "interface", "identity_api_version")
    return {name: settings.pop(name) for name in of_all} | {"auth": settings}


def _replace(path: Path, text: str) -> None:
    """Write a file that others read, at once."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def _reservation(kind: str, key: str, value: str, count: int) -> dict[str, Any]:
    wanted = {"resource_type": kind, "resource_properties": f'["==", "{key}", "{value}"]', "min": count, "max": count}
    return wanted | ({"hypervisor_properties": ""} if kind == "physical:host" else {})


def _blazar_at(site: str) -> str:
    if site not in BLAZAR_AT:
        raise LabError(f"there is no site {site}, only {', '.join(BLAZAR_AT)}")
    return BLAZAR_AT[site]


@contextlib.contextmanager
def _free_ports() -> Iterator[int]:
    """The first of so many free ports, which are no other lab's meanwhile."""
    locks = common.labs_dir() / "ports"
    locks.mkdir(exist_ok=True)
    for base in PORT_BASES:
        lock = locks / str(base)
        lock.touch()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(common.locked(lock, wait=False))
            except BlockingIOError:
                continue
            if any(_listens(base + i) for i in range(len(PORTS))):
                continue
            yield base
            return
    raise LabError("no free ports on this machine")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _speaks_amqp(port: int) -> bool:
    with socket.socket() as client, contextlib.suppress(OSError):
        client.settimeout(3)
        client.connect(("127.0.0.1", port))
        client.sendall(b"AMQP\x00\x00\x09\x01")
        return client.recv(1) == b"\x01"  # a method frame: Connection.Start
    return False
