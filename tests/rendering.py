"""Render the kit's own templates the way a play does, without playing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parent.parent


FIXED = {
    "min_repetitions": 2,
    "max_repetitions": 2,
    "target_percent": 1.0,
    "baseline": "float32",
    "iterations": "fixed",
}
"""Settings of a campaign that matter to the script: of one that decides nothing on the host."""


def render_run_script(run_dir: Path, runners: dict[str, Any], **settings: Any) -> str:
    """Return run_benchmark.sh for a directory; `settings` are variables of the role benchmark_run."""
    variables = {
        "ansible_managed": "Ansible managed",
        "inventory_hostname": "testhost",
        "benchmark_run_dir": str(run_dir),
        "benchmark_run_models_dir": str(run_dir / "models"),
        "benchmark_run_lock": str(run_dir / "lock"),
        "benchmark_run_control": str(run_dir / "control"),
        "benchmark_run_campaign": "demo",
        "benchmark_run_runners": runners,
        "benchmark_run_max_temperature_c": 0,
        "benchmark_run_max_cooldown_s": 0,
        "benchmark_run_max_wait_s": 0,
        "benchmark_run_max_steal_percent": 10,
        "benchmark_run_max_drift_percent": 5,
        "benchmark_run_min_cpu_percent": 90,
        "benchmark_run_retries": 2,
        "benchmark_run_settings": FIXED,
        "benchmark_run_min_free_mb": 1,
        "benchmark_run_min_available_mb": "auto",
        "benchmark_run_min_battery_percent": 20,
        "benchmark_run_max_battery_temperature_c": 0,
        "benchmark_run_stay_awake": True,
        "benchmark_run_energy": "auto",
        "benchmark_run_energy_command": "",
        "benchmark_run_energy_command_unit": "w",
        "benchmark_run_energy_interval_s": 1,
        "benchmark_run_energy_unlock": False,
        "benchmark_run_idle_s": 0,
        "benchmark_run_resources_s": 1,
        "benchmark_run_governor": "",
        "benchmark_run_disable_turbo": False,
        "benchmark_run_pin_cpus": "",
        "benchmark_run_nice": 0,
        "__benchmark_run_sys": "/sys",
        "__benchmark_run_proc": "/proc",
        **settings,
    }
    text = (ROOT / "roles/benchmark_run/templates/run_benchmark.sh.j2").read_text(encoding="utf-8")
    return Templar(DataLoader(), variables=variables).template(trust_as_template(text)) + "\n"
