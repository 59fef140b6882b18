"""The role host_facts, played for real against this machine."""

from __future__ import annotations

import json
import os

import pytest

from tests import playing

PLAYBOOK = """
- name: Record what the machine is
  hosts: all
  gather_facts: false
  roles: [host_facts]
  post_tasks:
    - name: Show what other roles see
      ansible.builtin.debug:
        var: host_facts_record.kernel
      when: not ansible_check_mode
"""


@pytest.fixture
def play(tmp_path):
    """Play the role in the campaign `demo`; returns how that went."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def run(check=False, **variables):
        variables = {"campaign_dir": str(tmp_path / "logs" / "demo")} | variables
        return playing.play(tmp_path / "play.yml", playing.BOX, check=check, **variables)

    return run


@pytest.fixture
def record(tmp_path):
    return tmp_path / "logs" / "demo" / "box" / "host.json"


def test_a_campaigns_record_is_written_once(play, record):
    assert play(check=True).changed() > 0
    assert not record.exists()

    assert play().changed() > 0
    first = record.read_bytes()
    facts = json.loads(first)
    assert (facts["host"], facts["kernel"], facts["cpus"]) == ("box", os.uname().release, os.cpu_count())
    assert list(facts)[:3] == ["schema", "host", "platform_label"]

    assert play().changed() == 0
    assert record.read_bytes() == first

    assert play(platform_label="My box").changed() == 1
    assert json.loads(record.read_bytes()) == facts | {"platform_label": "My box"}


def test_another_machine_stops_the_campaign_until_it_is_allowed(play, record):
    play()
    facts = json.loads(record.read_bytes())
    tampered = json.dumps(facts | {"kernel": "2.4.0", "cpu_mhz": 1.0})
    record.write_text(tampered)

    message = play().failure()
    assert message.startswith(f"box: {record}: the machine is not what it was when the campaign began ")
    assert f"(kernel: 2.4.0 -> {os.uname().release});" in message
    assert record.read_text() == tampered

    assert play(host_facts_allow_change=True).changed() == 1
    assert record.with_name("host.1.json").read_text() == tampered
    assert json.loads(record.read_bytes())["kernel"] == os.uname().release


def test_a_record_cut_short_is_not_overwritten(play, record):
    record.parent.mkdir(parents=True)
    record.write_text('{"schema": 1, "host": "bo')
    message = play().failure()
    assert message.startswith(f"box: {record}: not a host record (garbled or cut short)")
    assert record.read_text() == '{"schema": 1, "host": "bo'
