"""Just enough of a client to fill the cloud, to ask how it is, and to tidy it up."""

from __future__ import annotations

import ipaddress
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from typing import Any

from tests.labs.chilab.services import CATALOGUE, EDGE, NODES, USERS, Layout
from tests.labs.common import LabError

DOMAIN, PROJECT, MEMBER = "chameleon", "CHI-000000", "alice"
OTHER_PROJECT, OTHER_MEMBER = "CHI-111111", "bob"
FLOATING_IPS = tuple(f"203.0.113.{n}" for n in range(100, 104))  # those that can be reserved
POOL = range(220, 251)  # the numbers in the public network that Neutron gives out itself, such as to its router
IMAGE = "CC-Ubuntu22.04"
# No proxy stands between us and this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpError(LabError):
    """A service's answer that is an error.

    Attributes:
        status: HTTP's number, 0 when there was no answer.
    """

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


def send(
    method: str, url: str, body: object = None, timeout_s: float = 60, headers: dict[str, str] | None = None
) -> tuple[Any, Any]:
    """Send a request; return the answer, decoded, and its headers. Raises HttpError."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    own = {"Content-Type": "application/json", "Accept": "application/json"} | (headers or {})
    try:
        with OPENER.open(urllib.request.Request(url, data, own, method=method), timeout=timeout_s) as reply:
            text = reply.read()
            return json.loads(text) if text else None, reply.headers
    except urllib.error.HTTPError as error:
        said = error.read()[:500].decode(errors="replace")
        raise HttpError(f"{method} {url}: {error.code} {said}", error.code) from error
    except (OSError, ValueError) as error:
        raise HttpError(f"{method} {url}: {error}") from error


class Cloud:
    """A user's way in; a token is fetched at the first call."""

    def __init__(self, lab: Layout, user: str = "admin", project: str = "admin", domain: str = "Default"):
        self.lab, self.user, self.project, self.domain = lab, user, project, domain
        self.token = ""

    def login(self) -> dict[str, Any]:
        """Fetch a token; return what Keystone says of it."""
        domain = {"name": self.domain}
        user = {"name": self.user, "domain": domain, "password": self.lab.secret}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"name": self.project, "domain": domain}}}}
        answer, headers = send("POST", self.lab.url("keystone", "/v3/auth/tokens"), body)
        self.token = headers["X-Subject-Token"]
        return answer["token"]

    def __call__(
        self, method: str, service: str, path: str, body: object = None, timeout_s: float = 60, **headers: str
    ) -> Any:
        """Send a request to a service (a name of services.APIS); return the answer. Raises HttpError."""
        if not self.token:
            self.login()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return send(method, self.lab.url(service, path), body, timeout_s, {"X-Auth-Token": self.token} | headers)[0]


# What is in a new cloud


def fill_keystone(admin: Cloud) -> None:
    """Make the services' users, the catalogue, and two ordinary projects with a member each."""

    def v3(method: str, path: str, body: object = None) -> Any:
        return admin(method, "keystone", f"/v3/{path}", body)

    def user_of(project: str, name: str, domain: str, *granted: str) -> None:
        user = {"name": name, "password": admin.lab.secret, "domain_id": domain, "default_project_id": project}
        user_id = v3("POST", "users", {"user": user})["user"]["id"]
        for role in granted:
            v3("PUT", f"projects/{project}/users/{user_id}/roles/{roles[role]}")

    def project(name: str, domain: str) -> str:
        return v3("POST", "projects", {"project": {"name": name, "domain_id": domain}})["project"]["id"]

    roles = {role["name"]: role["id"] for role in v3("GET", "roles")["roles"]}
    service_project = project("service", "default")
    for name in sorted(set(USERS.values())):
        user_of(service_project, name, "default", "admin", "service")
    identity = v3("GET", "services?type=identity")["services"][0]["id"]
    url = admin.lab.url("keystone", "/v3")
    v3("POST", "regions", {"region": {"id": EDGE}})  # the other region is there from the start
    for interface in ("public", "internal", "admin"):
        where = {"interface": interface, "region_id": EDGE, "url": url}
        v3("POST", "endpoints", {"endpoint": {"service_id": identity} | where})
    services = {}
    for name, (kind, path, sites) in CATALOGUE.items():
        if kind not in services:
            services[kind] = v3("POST", "services", {"service": {"type": kind, "name": USERS[name]}})["service"]["id"]
        for site in sites:
            for interface in ("public", "internal", "admin"):
                where = {"interface": interface, "region_id": site, "url": admin.lab.url(name, path)}
                v3("POST", "endpoints", {"endpoint": {"service_id": services[kind]} | where})
    domain = v3("POST", "domains", {"domain": {"name": DOMAIN}})["domain"]["id"]
    user_of(project(PROJECT, domain), MEMBER, domain, "member")
    user_of(project(OTHER_PROJECT, domain), OTHER_MEMBER, domain, "member")


def fill_networks(admin: Cloud, addresses: Sequence[str]) -> None:
    def create(kind: str, **fields: object) -> str:
        return admin("POST", "neutron", f"/v2.0/{kind}s", {kind: fields})[kind]["id"]

    def flat(physical: str) -> dict[str, str]:
        return {"provider:network_type": "flat", "provider:physical_network": physical}

    public = create("network", name="public", shared=True, **{"router:external": True}, **flat("public"))
    cidr = ipaddress.IPv4Network(f"{addresses[0]}/24", strict=False)
    pool = {"start": str(cidr[POOL[0]]), "end": str(cidr[POOL[-1]])}
    subnet = {"name": "public-subnet", "network_id": public, "cidr": str(cidr), "allocation_pools": [pool]}
    create("subnet", ip_version=4, enable_dhcp=False, **subnet)
    shared = create("network", name="sharednet1", shared=True, **flat("physnet1"))
    subnet = {"name": "sharednet1-subnet", "network_id": shared, "cidr": "10.140.80.0/22"}
    subnet_id = create("subnet", ip_version=4, enable_dhcp=False, **subnet)
    router = create("router", name="sharednet1-router", external_gateway_info={"network_id": public})
    admin("PUT", "neutron", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet_id})


def fill_images(admin: Cloud) -> None:
    image = {"name": IMAGE, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    source = {"build-repo": "https://github.com/ChameleonCloud/cc-images"}
    image_id = admin("POST", "glance", "/v2/images", image | source)["id"]
    content = b"not an image, only some bytes"
    admin("PUT", "glance", f"/v2/images/{image_id}/file", content, Content_Type="application/octet-stream")


def fill_nova(admin: Cloud) -> None:
    """Make the flavour python-chi asks for, and the aggregate from which Blazar takes hosts."""
    flavor = {"name": "baremetal", "ram": 1024, "vcpus": 1, "disk": 10}
    admin("POST", "nova", "/v2.1/flavors", {"flavor": flavor})
    admin("POST", "nova", "/v2.1/os-aggregates", {"aggregate": {"name": "freepool"}})


def fill_blazar(admin: Cloud, addresses: Sequence[str]) -> None:
    for number, (node, node_type) in enumerate(NODES.items(), 1):
        uid = str(uuid.uuid5(uuid.NAMESPACE_DNS, node))
        host = {"name": node, "node_type": node_type, "node_name": f"P3-CPU-{number:03}", "uid": uid}
        admin("POST", "blazar", "/v1/os-hosts", host)
    public = admin("GET", "neutron", "/v2.0/networks?name=public")["networks"][0]["id"]
    for address in addresses:
        wanted = {"floating_network_id": public, "floating_ip_address": address}
        admin("POST", "blazar", "/v1/floatingips", wanted)


def credentials(lab: Layout) -> dict[str, dict[str, str]]:
    """Two ways in for an ordinary member: the variables of each kind, without the site's own.

    With an application credential no project may be named. It is unrestricted, since Blazar makes a Keystone trust for
    every lease (see etc/keystone/keystone.conf).
    """
    member = Cloud(lab, MEMBER, PROJECT, DOMAIN)
    user = member.login()["user"]["id"]
    asked = {"application_credential": {"name": "chilab", "unrestricted": True}}
    made = member("POST", "keystone", f"/v3/users/{user}/application_credentials", asked)["application_credential"]
    return {
        "application_credential": {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_APPLICATION_CREDENTIAL_ID": made["id"],
            "OS_APPLICATION_CREDENTIAL_SECRET": made["secret"],
        },
        "password": {
            "OS_AUTH_TYPE": "v3password",
            "OS_USERNAME": MEMBER,
            "OS_PASSWORD": lab.secret,
            "OS_USER_DOMAIN_NAME": DOMAIN,
            "OS_PROJECT_NAME": PROJECT,
            "OS_PROJECT_DOMAIN_NAME": DOMAIN,
        },
    }
