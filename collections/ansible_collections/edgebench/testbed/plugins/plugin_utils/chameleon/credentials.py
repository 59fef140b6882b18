# Copyright the edgebench developers. Apache-2.0.
"""Where a site's credentials come from: clouds.yaml, openrc files, the environment.

python-chi knows the environment alone, and one site at a time there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError

# Settings of the environment that are none of the authentication's own.
_NOT_AUTH = frozenset({"auth_type", "auth_method", "region_name", "interface", "endpoint_type", "identity_api_version"})
_PROJECT = frozenset({"project_name", "project_id", "project_domain_name", "project_domain_id", "tenant_name"})


class Credentials(NamedTuple):
    """How to log in; never shown."""

    source: str  # in words, for messages
    auth_type: str
    auth: dict[str, str]  # keystoneauth's options of that type


def find(site: str, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Credentials:
    """Return the credentials of a site.

    Args:
        site: its name, which is the region's: CHI@UC.
        settings: of the site: `credentials` (path of a clouds.yaml or openrc file), `cloud` (a name in clouds.yaml),
            `auth_url`; each may be missing or empty.
        environ: the caller's environment.

    Raises:
        TestbedError: there are none, several, or the file cannot be read; says where was looked.
    """
    path = Path(settings.get("credentials") or "").expanduser()
    if settings.get("credentials") and path.suffix not in (".yaml", ".yml", ".json"):
        found = _from_variables(site, str(path), _password(environ) | _openrc(site, path))
    elif settings.get("credentials") or settings.get("cloud"):
        found = _from_clouds(site, settings, [path] if settings.get("credentials") else _clouds_files(environ), environ)
    else:
        found = _wherever(site, settings, environ)
    auth = {key: value for key, value in found.auth.items() if value}
    if settings.get("auth_url"):
        auth["auth_url"] = settings["auth_url"]
    if not auth.get("auth_url"):
        raise TestbedError(f"{site}: {found.source} has no auth_url; set it in chameleon_sites['{site}']")
    if found.auth_type == "v3applicationcredential":  # it is of one project already; Keystone refuses one that names it
        auth = {key: value for key, value in auth.items() if key not in _PROJECT}
    return found._replace(auth=auth)


def _wherever(site: str, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Credentials:
    """Nothing is set: the cloud of this region in clouds.yaml, else the environment where it is this site's."""
    if environ.get("OS_CLOUD"):
        return _from_clouds(site, {"cloud": environ["OS_CLOUD"]}, _clouds_files(environ), environ)
    variables = {key[3:].lower(): value for key, value in environ.items() if key.startswith("OS_") and value}
    if variables.get("region_name") == site:
        return _from_variables(site, "the environment (OS_*)", variables)
    files = _clouds_files(environ)
    if any(file.exists() for file in files):
        return _from_clouds(site, settings, files, environ)
    elsewhere = f" (OS_REGION_NAME is {variables['region_name']})" if variables.get("region_name") else ""
    if variables.get("auth_url") and not elsewhere:
        return _from_variables(site, "the environment (OS_*)", variables)
    raise TestbedError(
        f"{site}: no credentials: none in the environment{elsewhere}, no {' or '.join(map(str, files))}. Make an "
        f"application credential at the site (Identity, Application Credentials), download its clouds.yaml or openrc "
        f"file, and name it: chameleon_sites['{site}'].credentials (docs/chameleon.md)"
    )


def _clouds_files(environ: Mapping[str, str]) -> list[Path]:
    named = environ.get("OS_CLIENT_CONFIG_FILE")
    return [Path(named)] if named else [Path("clouds.yaml"), Path("~/.config/openstack/clouds.yaml").expanduser()]


def _from_clouds(site: str, settings: Mapping[str, Any], files: list[Path], environ: Mapping[str, str]) -> Credentials:
    from openstack.config import loader
    from openstack.exceptions import ConfigException

    there = [file for file in files if file.exists()]
    if not there:
        raise TestbedError(f"{site}: there is no {' or '.join(map(str, files))}")
    try:
        secrets = [str(there[0].with_name(f"secure{there[0].suffix}"))]
        config = loader.OpenStackConfig(config_files=[str(there[0])], secure_files=secrets, load_envvars=False)
        if config.config_filename is None:  # skipped with a warning that would show what stands in the file
            raise TestbedError(f"{site}: {there[0]} is not YAML that can be read")
        clouds = config.cloud_config["clouds"]
        name = settings.get("cloud") or _cloud_of_region(site, there[0], clouds)
        if name not in clouds:
            raise TestbedError(f"{site}: {there[0]} has no cloud '{name}', only {', '.join(clouds)}")
        cloud = clouds[name]
        region = cloud.get("region_name")
        if region and region != site:
            raise TestbedError(f"{site}: cloud '{name}' of {there[0]} is of {region}; name another one, or none")
        auth = {key: str(value) for key, value in (cloud.get("auth") or {}).items()}
    except (ConfigException, OSError, AttributeError, TypeError) as exc:
        raise TestbedError(f"{site}: {there[0]} cannot be read: {' '.join(str(exc).split())}") from exc
    if auth.get("username"):
        auth = _password(environ) | auth
    return _typed(site, f"cloud '{name}' of {there[0]}", str(cloud.get("auth_type") or ""), auth)


def _cloud_of_region(site: str, file: Path, clouds: Mapping[str, Any]) -> str:
    of_region = [name for name, cloud in clouds.items() if cloud.get("region_name") == site]
    if len(of_region) == 1:
        return of_region[0]
    many = f"{len(of_region)} clouds of {site} ({', '.join(of_region)})" if of_region else f"no cloud of {site}"
    regions = ", ".join(f"{name}: {cloud.get('region_name', '?')}" for name, cloud in clouds.items()) or "none"
    raise TestbedError(f"{site}: {file} has {many}; it has {regions}. Set chameleon_sites['{site}'].cloud")


def _openrc(site: str, path: Path) -> dict[str, str]:
    """The variables that an openrc script exports, without running it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise TestbedError(f"{site}: cannot read {path}: {getattr(exc, 'strerror', None) or 'not a text'}") from exc
    variables = {}
    for match in re.finditer(r"^\s*(?:export\s+)?OS_([A-Z0-9_]+)=(.*)$", text, re.MULTILINE):
        try:
            words = shlex.split(match[2], comments=True)
        except ValueError:
            continue
        # What it asks for when it is run is not in the file; within '' a $ is a $.
        if words and ("$" not in words[0] or match[2].lstrip().startswith("'")):
            variables[match[1].lower()] = words[0]
    if not variables:
        raise TestbedError(f"{site}: {path} exports no OS_... variable; is it an openrc file?")
    return variables


def _password(environ: Mapping[str, str]) -> dict[str, str]:
    return {"password": environ["OS_PASSWORD"]} if environ.get("OS_PASSWORD") else {}


def _from_variables(site: str, source: str, variables: Mapping[str, str]) -> Credentials:
    region = variables.get("region_name")
    if region and region != site:
        raise TestbedError(f"{site}: {source} is of {region}; give this site its own (chameleon_sites['{site}'])")
    auth = {key: value for key, value in variables.items() if key not in _NOT_AUTH}
    return _typed(site, source, variables.get("auth_type") or variables.get("auth_method") or "", auth)


def _typed(site: str, source: str, auth_type: str, auth: dict[str, str]) -> Credentials:
    from keystoneauth1 import loading
    from keystoneauth1.exceptions import NoMatchingPlugin

    if not auth_type or auth_type in ("password", "token"):
        auth_type = "v3applicationcredential" if auth.get("application_credential_secret") else "v3password"
    try:
        options = loading.get_plugin_options(auth_type)
    except NoMatchingPlugin:
        raise TestbedError(f"{site}: {source}: there is no auth_type '{auth_type}'") from None
    known = {name.replace("-", "_") for option in options for name in (option.dest, option.name)}
    given = {key: value for key, value in auth.items() if key in known}
    wanted = {
        "v3applicationcredential": ("application_credential_id", "application_credential_secret"),
        "v3password": ("username", "password"),
    }.get(auth_type, ())
    if lacking := [
        name for name in wanted if not given.get(name) and not (name == "username" and given.get("user_id"))
    ]:
        hint = (
            " (an openrc file that asks for the password does not hold it: set OS_PASSWORD)"
            if "password" in lacking
            else ""
        )
        raise TestbedError(f"{site}: {source} lacks {' and '.join(lacking)}{hint}")
    return Credentials(source, auth_type, given)
