"""Leasing machines, as far as no testbed is needed: credentials, times, names, records."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.edgebench.testbed.plugins.action.lease import moment, resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import credentials, leases, servers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records

from tests.playing import ROOT

SITE = "CHI@UC"
CLOUDS = """
clouds:
  uc:
    auth_type: v3applicationcredential
    auth: {auth_url: "https://uc/v3", application_credential_id: the-id, application_credential_secret: "s3cret: #1"}
    region_name: CHI@UC
  edge:
    auth: {auth_url: "https://edge/v3", username: kim, password: pa$$, project_name: CHI-1, user_domain_name: d}
    region_name: CHI@Edge
"""
APPLICATION = {"application_credential_id": "the-id", "application_credential_secret": "s3cret: #1"}
OPENRC = """#!/usr/bin/env bash
export OS_AUTH_TYPE=v3applicationcredential
export OS_AUTH_URL=https://uc/v3
export OS_REGION_NAME="CHI@UC"
export OS_INTERFACE=public
export OS_IDENTITY_API_VERSION=3
export OS_APPLICATION_CREDENTIAL_ID=the-id
export OS_APPLICATION_CREDENTIAL_SECRET='s3cret: #1'
"""
# As the web interface offers it: it asks for the password when it is run.
OPENRC_ASKS = """
export OS_AUTH_URL=https://uc/v3
export OS_PROJECT_ID=77
export OS_PROJECT_NAME="CHI-1"
export OS_USER_DOMAIN_NAME="chameleon"
export OS_USERNAME="kim@example.org"
echo "Please enter your password: "
read -sr OS_PASSWORD_INPUT
export OS_PASSWORD=$OS_PASSWORD_INPUT
export OS_REGION_NAME="CHI@UC"
"""


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_clouds_file_has_a_cloud_for_each_site(tmp_path):
    path = written(tmp_path, "clouds.yaml", CLOUDS)
    uc = credentials.find(SITE, {"credentials": path}, {})
    assert (uc.auth_type, uc.auth) == ("v3applicationcredential", {"auth_url": "https://uc/v3", **APPLICATION})
    assert "'uc'" in uc.source
    edge = credentials.find("CHI@Edge", {"credentials": path, "cloud": "edge"}, {})
    assert (edge.auth_type, edge.auth["password"], edge.auth["project_name"]) == ("v3password", "pa$$", "CHI-1")


def test_the_clouds_file_that_openstack_knows_is_found_by_the_region(tmp_path):
    found = credentials.find(SITE, {}, {"OS_CLIENT_CONFIG_FILE": written(tmp_path, "clouds.yaml", CLOUDS)})
    assert found.auth["application_credential_id"] == "the-id"


def test_secrets_may_lie_beside_the_clouds_file(tmp_path):
    path = written(tmp_path, "clouds.yaml", CLOUDS.replace("password: pa$$, ", ""))
    written(tmp_path, "secure.yaml", "clouds: {edge: {auth: {password: aside}}}")
    assert credentials.find("CHI@Edge", {"credentials": path}, {}).auth["password"] == "aside"


def test_an_openrc_file_is_read_and_not_run(tmp_path):
    found = credentials.find(SITE, {"credentials": written(tmp_path, "openrc", OPENRC)}, {})
    assert (found.auth_type, found.auth) == ("v3applicationcredential", {"auth_url": "https://uc/v3", **APPLICATION})


def test_the_password_that_an_openrc_file_asks_for_comes_from_the_environment(tmp_path):
    path = written(tmp_path, "openrc.sh", OPENRC_ASKS)
    found = credentials.find(SITE, {"credentials": path}, {"OS_PASSWORD": "typed"})
    assert (found.auth_type, found.auth["password"]) == ("v3password", "typed")
    with pytest.raises(TestbedError, match=r"lacks password.*set OS_PASSWORD"):
        credentials.find(SITE, {"credentials": path}, {})


def test_the_environment_counts_where_it_is_of_the_site():
    environ = {f"OS_{key.upper()}": value for key, value in APPLICATION.items()}
    environ |= {"OS_AUTH_URL": "https://uc/v3", "OS_REGION_NAME": SITE, "OS_PROJECT_NAME": "CHI-1", "OS_INTERFACE": "x"}
    found = credentials.find(SITE, {}, environ)
    assert found.auth == {"auth_url": "https://uc/v3", **APPLICATION}, "Keystone refuses a project beside these"
    with pytest.raises(TestbedError, match=r"CHI@TACC: no credentials: .*OS_REGION_NAME is CHI@UC"):
        credentials.find("CHI@TACC", {}, environ | {"OS_CLIENT_CONFIG_FILE": "/nowhere.yaml"})


def test_what_the_inventory_says_of_the_address_wins(tmp_path):
    path = written(tmp_path, "clouds.yaml", CLOUDS)
    assert credentials.find(SITE, {"credentials": path, "auth_url": "https://b"}, {}).auth["auth_url"] == "https://b"


@pytest.mark.parametrize(
    ("name", "text", "settings", "said"),
    [
        ("clouds.yaml", CLOUDS, {"cloud": "tacc"}, "has no cloud 'tacc', only uc, edge"),
        ("clouds.yaml", CLOUDS, {"cloud": "edge"}, "is of CHI@Edge"),
        ("clouds.yaml", CLOUDS.replace("CHI@UC", "CHI@Edge"), {}, "no cloud of CHI@UC; it has uc: CHI@Edge"),
        ("clouds.yaml", CLOUDS.replace("CHI@Edge", "CHI@UC"), {}, "2 clouds of CHI@UC (uc, edge)"),
        ("clouds.yaml", "clouds: [", {}, "is not YAML that can be read"),
        (
            "clouds.yaml",
            CLOUDS.replace(', application_credential_secret: "s3cret: #1"', ""),
            {},
            "lacks appl",
        ),
        ("openrc", "echo hello", {}, "exports no OS_... variable"),
        ("openrc", OPENRC.replace("CHI@UC", "CHI@TACC"), {}, "is of CHI@TACC"),
        ("openrc", OPENRC.replace("=v3app", "=v9app"), {}, "there is no auth_type"),
    ],
)
def test_credentials_that_cannot_be_used_are_told(tmp_path, name, text, settings, said):
    with pytest.raises(TestbedError) as refused:
        credentials.find(SITE, {"credentials": written(tmp_path, name, text), **settings}, {})
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_of_credentials_that_is_not_there_is_told(tmp_path):
    for name in ("clouds.yaml", "openrc"):
        with pytest.raises(TestbedError, match=str(tmp_path / name)):
            credentials.find(SITE, {"credentials": str(tmp_path / name)}, {})


# Leases


def test_a_lease_ends_before_the_hour_and_not_too_early():
    start = datetime(2026, 11, 25, 16, 20, tzinfo=UTC)
    assert leases.end_of(start, 1) == datetime(2026, 11, 25, 17, 55, tzinfo=UTC)
    assert leases.end_of(start, 1.6) == datetime(2026, 11, 25, 18, 55, tzinfo=UTC)
    assert leases.end_of(start.replace(minute=55), 1) == datetime(2026, 11, 25, 17, 55, tzinfo=UTC)


def test_when_a_lease_begins():
    assert moment("now") is None
    assert moment("2000-01-01") is None, "over: now"
    assert moment("2099-11-26 08:00") == datetime(2099, 11, 26, 8, tzinfo=UTC)
    assert moment("2099-11-26T09:00:00+01:00") == datetime(2099, 11, 26, 8, tzinfo=UTC)
    with pytest.raises(TestbedError, match="'tomorrow' is no time"):
        moment("tomorrow")


def test_what_a_host_is():
    names = {"node_type": "", "node_name": "", "machine_name": "", "device_name": ""}
    assert resource(names | {"node_type": "x"}) == leases.Resource("node", "node_type", "x")
    assert resource(names | {"device_name": "iot-7"}) == leases.Resource("device", "name", "iot-7")
    for wrong in (names, names | {"node_type": "x", "machine_name": "y"}):
        with pytest.raises(TestbedError, match="must say what to lease"):
            resource(wrong)


# Servers

CONSOLE = """[  OK  ] Reached target Cloud-init target.
-----BEGIN SSH HOST KEY FINGERPRINTS-----\r
256 SHA256:abc root@box (ED25519)\r
-----END SSH HOST KEY FINGERPRINTS-----\r
-----BEGIN SSH HOST KEY KEYS-----\r
{keys}-----END SSH HOST KEY KEYS-----\r
box login: """


def test_host_keys_are_read_from_what_cloud_init_prints():
    keys = "ecdsa-sha2-nistp256 AAAAE2Vj= root@box\r\nssh-ed25519 AAAAC3Nz root@box\r\n"
    assert servers.host_keys(CONSOLE.format(keys=keys)) == ["ecdsa-sha2-nistp256 AAAAE2Vj=", "ssh-ed25519 AAAAC3Nz"]
    twice = CONSOLE.format(keys="ssh-ed25519 OLD root@box\r\n") + CONSOLE.format(keys="ssh-ed25519 NEW root@box\r\n")
    assert servers.host_keys(twice) == ["ssh-ed25519 NEW"], "the last boot's"
    assert servers.host_keys("ssh-ed25519 AAAA says somebody") == []


# Records


def test_records_are_there_for_whoever_comes_next(tmp_path):
    records = Records(tmp_path / "state")
    assert records.leases(SITE) == []
    assert records.machine("pi5") is None
    records.change_leases(SITE, lambda leases: [*leases, {"name": "a"}])
    records.change_leases("CHI@Edge", lambda leases: [*leases, {"name": "b"}])
    records.keep_machine("pi5", {"site": SITE, "id": None})
    again = Records(tmp_path / "state")
    assert [lease["name"] for lease in again.leases(SITE)] == ["a"]
    assert again.machines(SITE) == {"pi5": {"site": SITE, "id": None}}
    assert again.machines("CHI@Edge") == {}
    assert again.owner() == records.owner()
    again.keep_machine("pi5", None)
    assert records.machine("pi5") is None


def test_one_play_at_a_time_works_on_the_leases_of_a_site(tmp_path):
    records = Records(tmp_path)
    other = Records(tmp_path).working_on(SITE)
    with records.working_on(SITE), records.working_on("CHI@Edge"), pytest.raises(TestbedError, match="another play"):
        other.__enter__()


def test_a_record_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    Records(tmp_path).keep_machine("pi5", {"site": SITE})
    (tmp_path / "machine.pi5.json").write_text("{")
    with pytest.raises(TestbedError, match=r"machine\.pi5\.json cannot be read"):
        Records(tmp_path).machines(SITE)


def test_logs_say_which_leases_served_a_host(tmp_path):
    records, home = Records(tmp_path / "state"), tmp_path / "logs/demo/pi5"
    lease = {
        "name": "edgebench-1",
        "id": "1",
        "ours": True,
        "homes": [],
        "start_utc": "2026-11-25T16:00:00Z",
        "end_utc": "2099-11-25T19:55:00Z",
    }
    records.change_leases(SITE, lambda _: [lease])
    facts = {"kind": "device", "type": "raspberrypi5", "su_per_hour": 1}
    assert leases.note_home(records, SITE, "pi5", lease, home, facts)
    assert not leases.note_home(records, SITE, "pi5", lease, home, facts), "no news"
    later = lease | {"end_utc": "2099-11-25T20:55:00Z"}
    assert leases.note_home(records, SITE, "pi5", later, home, facts), "it was extended"
    [entry] = leases._entries(home / "leases.json")
    assert (entry["lease"], entry["end_utc"], entry["released_utc"]) == ("edgebench-1", later["end_utc"], None)

    class Nowhere:
        name = SITE

    now = datetime.now(UTC).replace(microsecond=0)
    leases._forget(Nowhere, records, records.leases(SITE)[0], now)
    [entry] = leases._entries(home / "leases.json")
    assert datetime.fromisoformat(entry["released_utc"]) - now < timedelta(seconds=1)
    assert records.leases(SITE) == []


def test_adding_hardware_is_a_line_in_the_inventory(tmp_path):
    directory = tmp_path / "mine"
    shutil.copytree(ROOT / "inventory/chameleon", directory)
    hosts = directory / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("            skylake:", "            skylake[1:4]:"))
    loaded = InventoryManager(DataLoader(), sources=[str(directory)])
    names = {host.name for host in loaded.get_hosts("chameleon")}
    assert names == {
        "icelake",
        "cascadelake",
        "broadwell",
        "haswell",
        "pi5",
        "pi4",
        *(f"skylake{i}" for i in range(1, 5)),
    }
    assert loaded.get_host("skylake3").vars["chameleon_node_type"] == "compute_skylake"
