"""docs/tables.md names every column that a table has."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from analysis import campaign, comparison, document, energy, many, tables
from tests.unit.classifiers import classifiers
from tests.unit.classifiers import rows as classifier_rows
from tests.unit.datasets import adaptive, dataset, run
from tests.unit.fleets import eight, of_eight
from tests.unit.labs import lab, lab_rows
from tests.unit.phones import phones
from tests.unit.phones import rows as phone_rows

ROOT = Path(__file__).resolve().parents[2]
SWEEPS = ("sweeps", "lab_questions", "trade_off")
CLASSIFIERS = ("quality", "quality_classes", "confusion", "agreement", "usage")
LOGS = "see [logs.md](logs.md)"


def columns(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_]+)`", text))


def documented() -> dict[str, set[str]]:
    """The columns that docs/tables.md names for each table, by file name; those of most tables are in each."""
    _, *sections = (ROOT / "docs/tables.md").read_text(encoding="utf-8").split("\n## ")
    logs_md = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
    in_most, *others = (section.partition("\n")[::2] for section in sections)
    return {
        name: columns(in_most[1]) | columns(text) | (columns(logs_md) if LOGS in text else set())
        for title, text in others
        for name in re.findall(r"\w+(?=\.csv)", title)
    }


def test_every_column_is_documented():
    rows = [row | {"threads": threads} for threads in (1, 4) for row in eight(2, ("pi4", "pi5"), ("MobileNet",))]
    profiles = campaign.read([ROOT / "tests/data/op_profiles"])
    rows += profiles.runs.to_dict("records")
    told = [energy.Told(row["campaign"], row["host"], row["log"], "rapl", "uj", "package-0", "", "") for row in rows]
    for row in rows:
        row["energy_run_j"] = 1.0
    found = of_eight(rows, campaigns=adaptive(2, 3), energy=told)
    report = document.build(replace(found, op_profiles=profiles.op_profiles))
    found = {name: set(table) for name, table in report.tables.items() if not name.startswith("final_result")}
    found |= {
        "cost": set(tables.cost(report.study)),
        "models": set(tables.models(report.study)),
        "problems": {"problem"},
    }
    found["speedup_by_model"] = set(many.speedups_by_model(report.study, report.tables["speedup"]))
    of_lab = document.build(lab(lab_rows(repetitions=1))).tables
    found |= {name: set(of_lab[name]) for name in SWEEPS}
    of_phones = document.build(phones([row for row in phone_rows(1) if row["host"] == "pixel"])).tables
    found |= {name: set(of_phones[name]) for name in ("compression", "phones")}
    of_classifiers = document.build(classifiers(classifier_rows(("laptop",), repetitions=1))).tables
    found |= {name: set(of_classifiers[name]) for name in CLASSIFIERS}
    sides = [dataset([run(repetition=i) for i in (1, 2)]) for _ in range(2)]
    found["compare"] = set(comparison.build(*sides, tolerance_percent=3).table)
    known = documented()
    assert set(known) == set(found)
    assert {name: lacking for name, of_table in found.items() if (lacking := of_table - known[name])} == {}
