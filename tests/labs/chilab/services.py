"""The services of a lab: their ports, configuration and processes."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import string
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
UC, EDGE = "CHI@UC", "CHI@Edge"
SITES = (UC, EDGE)
NODES = {"chi-node-01": "compute_skylake", "chi-node-02": "compute_cascadelake"}  # name: Blazar's node_type
DEVICES = {"raspberrypi5": 1, "raspberrypi4-64": 2}  # machine: how many
EDGE_HOST = "rpi-01"  # what "runs" containers
# What the proxy in front of Zun bears: larger requests are refused (413), later answers not waited for (504).
BODY_LIMIT = 2**20  # bytes
ANSWER_LIMIT_S = 20

# API -> what serves it, in start order.
APIS = {
    "keystone": "keystone.wsgi.api:application",
    "placement": "placement.wsgi.api:application",
    "glance": "glance.wsgi.api:application",
    "neutron": "neutron.wsgi.api:application",
    "nova": "nova.wsgi.osapi_compute:application",
    "blazar": "blazar.wsgi.api:application",
    "blazar-edge": "blazar.wsgi.api:application",
    "zun": "zunshim:application",
}
# API -> its type in Keystone's catalogue, its path, and the sites that have it.
CATALOGUE = {
    "placement": ("placement", "", SITES),
    "glance": ("image", "", SITES),
    "neutron": ("network", "", SITES),
    "nova": ("compute", "/v2.1", (UC,)),
    "blazar": ("reservation", "/v1", (UC,)),
    "blazar-edge": ("reservation", "/v1", (EDGE,)),
    "zun": ("container", "/v1", (EDGE,)),
}
BLAZARS = {
    "blazar": (UC, "chilab.host.plugin,virtual.floatingip.plugin"),
    "blazar-edge": (EDGE, "chilab.device.plugin"),
}
# Service -> Keystone's name of it.
USERS = {name: name.partition("-")[0] for name in CATALOGUE}
PORTS = (*APIS, "rabbitmq", "rabbitmq_dist", "epmd")
PASTE = {
    "nova": "api-paste.ini",
    "neutron": "api-paste.ini",
    "glance": "glance-api-paste.ini",
    "zun": "api-paste.ini",
}
# In front of a service's command: with it, all that the service started ends.
PARENT_OF_ALL = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
DATABASES = {name: ["nova_api", "nova_cell0", "nova_cell1"] if name == "nova" else [name] for name in APIS}


@dataclass
class Service:
    """A process of a lab."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


class Layout:
    """Where a lab's things are.

    Args:
        packages: the directory that packages.make_packages() made.
        roots: the directory that sshlab.make_roots() made; containers' images.
        state: a directory of this lab's own.
        base: the first of its ports.
    """

    def __init__(self, packages: Path, roots: Path, state: Path, base: int):
        self.python = packages / "python" / "bin" / "python"
        self.scripts = self.python.parent
        self.paste = packages / "python" / "etc"
        self.debian = packages / "debian"
        self.roots = roots
        self.state = state
        self.etc, self.data, self.log = (state / name for name in ("etc", "data", "log"))
        self.faults, self.consoles = state / "faults", state / "consoles"
        self.base = base
        self.secret = secrets.token_hex(12)

    def port(self, name: str) -> int:
        return self.base + PORTS.index(name)

    def url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port(name)}{path}"

    def config(self, name: str) -> Path:
        """The configuration file of an API's service."""
        file = {"glance": "glance-api.conf", "blazar-edge": "blazar.conf"}.get(name, f"{name}.conf")
        return self.etc / name / file

    def environment(self) -> dict[str, str]:
        """What every process gets: nothing of the caller's own settings."""
        return {
            "PATH": f"{self.debian}/usr/lib/erlang/bin:{self.scripts}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.state / "home"),
            "PYTHONPATH": str(HERE / "plug"),
            "PYTHONWARNINGS": "ignore",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CHILAB_FAULTS": str(self.faults),
            "CHILAB_CONSOLES": str(self.consoles),
            "CHILAB_CONTAINERS": str(self.data / "containers"),
            "CHILAB_IMAGES": str(self.roots),
            "CHILAB_BODY_LIMIT": str(BODY_LIMIT),
            "CHILAB_ANSWER_LIMIT_S": str(ANSWER_LIMIT_S),
            "CHILAB_DEVICES": json.dumps(DEVICES),
        }


def configure(lab: Layout) -> None:
    """Write the services' configuration, from the templates in etc/, and their keys."""
    for directory in (
        *(lab.log, lab.faults, lab.consoles, lab.data / "containers"),
        *(lab.state / "locks", lab.state / "home"),
    ):
        directory.mkdir(parents=True)
    values = {
        "data": lab.data,
        "log": lab.log,
        "etc": lab.etc,
        "locks": lab.state / "locks",
        "keys": lab.state / "keys",
        "secret": lab.secret,
        "edge": EDGE_HOST,
        "amqp": f"rabbit://chilab:{lab.secret}@127.0.0.1:{lab.port('rabbitmq')}/",
    }
    values |= {f"port_{name}": lab.port(name) for name in PORTS}
    values |= {f"db_{name}": _database(lab, name) for names in DATABASES.values() for name in names}
    for name, (_, _, sites) in CATALOGUE.items():
        values |= {f"auth_{name}": _login(lab, name, sites[0]), f"auth_token_{name}": _tokens(lab, name, sites[0])}
    of_several = {HERE / "etc/blazar/blazar.conf", HERE / "etc/nova/compute.conf"}
    for template in {path for path in (HERE / "etc").rglob("*") if path.is_file()} - of_several:
        _render(template, lab.etc / template.relative_to(HERE / "etc"), values)
    for node in NODES:
        _render(HERE / "etc/nova/compute.conf", lab.etc / f"nova/{node}.conf", values | {"node": node})
        # the fake driver's uuid of a node; a restarted nova-compute refuses to run without this file
        _write(lab.data / node / "compute_id", str(uuid.uuid5(uuid.NAMESPACE_DNS, node)))
    for name, (site, plugins) in BLAZARS.items():
        own = {
            "name": name,
            "port": lab.port(name),
            "db": _database(lab, name),
            "region": site,
            "plugins": plugins,
            "auth_token": _tokens(lab, name, site),
        }
        _render(HERE / "etc/blazar/blazar.conf", lab.config(name), values | own)
    for service, file in PASTE.items():
        shutil.copy(lab.paste / service / file, lab.etc / service / file)
    for key in ("fernet/0", "fernet/1", "credential/0", "credential/1"):  # what keystone-manage *_setup does
        _write(lab.state / "keys" / key, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        (lab.state / "keys" / key).parent.chmod(0o700)


def _database(lab: Layout, name: str) -> str:
    return f"sqlite:///{lab.data}/{name}.db?timeout=60"


def _login(lab: Layout, name: str, site: str) -> str:
    return (
        f"auth_url = {lab.url('keystone', '/v3')}\nauth_type = password\nusername = {USERS[name]}\n"
        f"password = {lab.secret}\nproject_name = service\nuser_domain_name = Default\n"
        f"project_domain_name = Default\nregion_name = {site}"
    )


def _tokens(lab: Layout, name: str, site: str) -> str:
    uri = f"www_authenticate_uri = {lab.url('keystone', '/v3')}"
    return f"{uri}\n{_login(lab, name, site)}\nservice_token_roles_required = true"


def _render(template: Path, target: Path, values: dict[str, object]) -> None:
    _write(target, string.Template(template.read_text(encoding="utf-8")).substitute(values))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def services(lab: Layout) -> Iterator[Service]:
    """Every process of a lab, in start order."""
    rabbit = {
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(lab.port("epmd")),
        "RABBITMQ_NODENAME": "chilab@localhost",
        "RABBITMQ_CONFIG_FILE": str(lab.etc / "rabbitmq/rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(lab.etc / "rabbitmq/enabled_plugins"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(lab.log),
        "RABBITMQ_MNESIA_BASE": str(lab.data / "rabbitmq"),
        "RABBITMQ_PID_FILE": str(lab.data / "rabbitmq.pid"),
        "RABBITMQ_DIST_PORT": str(lab.port("rabbitmq_dist")),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
            f" -kernel inet_dist_listen_min {lab.port('rabbitmq_dist')}"
            f" -kernel inet_dist_listen_max {lab.port('rabbitmq_dist')}"
        ),
    }
    yield Service("epmd", ["epmd", "-address", "127.0.0.1", "-port", str(lab.port("epmd"))], rabbit)
    # not Debian's wrapper, which changes the user
    yield Service("rabbitmq", [str(lab.debian / "usr/lib/rabbitmq/bin/rabbitmq-server")], rabbit)
    where = {
        "OS_KEYSTONE_CONFIG_FILES": str(lab.config("keystone")),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
    }
    where |= {
        f"OS_{name.upper()}_CONFIG_DIR": str(lab.etc / name) for name in ("placement", "glance", "neutron", "nova")
    }
    queue = {"CHILAB_BEGIN_IMMEDIATE": "1"}  # see plug/sitecustomize.py
    for name, application in APIS.items():
        options = ["--config-file", str(lab.config("zun"))] if name == "zun" else []
        own = queue if name == "nova" else {}
        own |= {"OS_BLAZAR_CONFIG_DIR": str(lab.etc / name)} if name in BLAZARS else {}
        serve = [str(lab.python), str(HERE / "plug/chiserve.py"), application, str(lab.port(name)), *options]
        yield Service(name, serve, where | own)
    nova = [lab.config("nova")]
    for name, script, files in (
        ("nova-conductor", "nova-conductor", nova),
        ("nova-scheduler", "nova-scheduler", nova),
        *((node, HERE / "plug/chinova.py", [*nova, lab.etc / f"nova/{node}.conf"]) for node in NODES),
        *((f"{name}-manager", "blazar-manager", [lab.config(name)]) for name in BLAZARS),
        ("zun-compute", "zun-compute", [lab.config("zun")]),
    ):
        options = [word for file in files for word in ("--config-file", str(file))]
        if script != "blazar-manager":
            options += ["--log-file", str(lab.log / f"{name}.log")]
        own = queue if files[0] == nova[0] else {}
        yield Service(name, [str(lab.python), str(lab.scripts / script), *options], where | own)
