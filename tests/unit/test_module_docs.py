"""What `ansible-doc` shows of the options of our tasks is what their actions take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.plugin_docs import read_docstring
from ansible.plugins.loader import action_loader, fragment_loader
from ansible.utils.plugin_docs import add_fragments

from tests.playing import ROOT, environment

PLUGINS = ROOT / "collections/ansible_collections/edgebench/testbed/plugins"
SAME = ("type", "elements", "required", "choices", "default")


def spec_of(name: str) -> dict | None:
    """The argument spec of an action; None where it keeps none."""
    action = action_loader.get(f"edgebench.testbed.{name}", class_only=True)
    spec = getattr(action, "SPEC", None)
    return None if spec is None else getattr(action, "COMMON", {}) | spec


def documentation_of(name: str) -> dict:
    """The documentation of an action, which is beside it or, for ansible-doc to find it, in plugins/modules."""
    path = next(path for kind in ("modules", "action") if (path := PLUGINS / kind / f"{name}.py").exists())
    doc = read_docstring(str(path), verbose=False)["doc"]
    add_fragments(doc, str(path), fragment_loader, is_module=True)
    return doc


ACTIONS = [path.stem for path in sorted((PLUGINS / "action").glob("*.py")) if spec_of(path.stem)]
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))


def taken(options: dict) -> dict:
    """Options as an action takes them."""
    return {
        name: {"type": "str", "required": False, "default": None, "choices": None, "elements": None}
        | {key: option[key] for key in SAME if key in option}
        for name, option in options.items()
    }


@pytest.mark.parametrize("name", ACTIONS)
def test_options_are_documented_as_the_action_takes_them(name):
    assert taken(documentation_of(name).get("options", {})) == taken(spec_of(name))


@pytest.mark.parametrize("name", MODULES)
def test_settings_of_a_site_are_documented_as_they_are_taken(name):
    assert taken(documentation_of(name)["options"]["site"]["suboptions"]) == taken(spec_of(name)["site"]["options"])


@pytest.mark.parametrize("name", MODULES)
def test_attributes_are_said(name):
    attributes = documentation_of(name)["attributes"]
    assert {key: attributes[key]["support"] for key in ("check_mode", "idempotent")} == {
        "check_mode": "full",
        "idempotent": "full",
    }


def test_a_documented_module_has_its_action():
    assert {"lease", "server", "container", "doctor"} <= set(MODULES) <= set(ACTIONS)


def test_ansible_doc_shows_them():
    ansible_doc = Path(sys.executable).with_name("ansible-doc")
    words = [ansible_doc, "--json", *(f"edgebench.testbed.{name}" for name in MODULES)]
    shown = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    assert shown.returncode == 0, shown.stderr
    documented = json.loads(shown.stdout)
    for name in MODULES:
        parts = documented[f"edgebench.testbed.{name}"]
        assert parts["doc"]["has_action"]
        assert parts["examples"].strip()
        assert parts["return"]
