"""The report of many machines: one page about all of them, one page for each."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from analysis import across, document, many
from analysis.study import Study
from analysis.tables import speedups
from tests.unit.datasets import dataset, study_rows

HOSTS = 11


@pytest.fixture(scope="module", autouse=True)
def few_are_many():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(across, "MANY", HOSTS - 1)
        yield


@pytest.fixture(scope="module")
def found():
    """11 machines: one that gained nothing, one that measured nothing, one that failed once; many problems."""
    rows = study_rows({f"node-{n:02}": 1 + n / 10 for n in range(HOSTS)}, 2, models=["MobileNet", "ResNet50"])
    for row in rows:
        if row["host"] == "node-03" and row["variant"] == "dynamic_range":
            row["avg_inference_ms"] *= 20
        if row["host"] == "node-05":
            row |= {"status": "failed", "reason": "killed <sic>", "avg_inference_ms": None}
        if (row["host"], row["model"], row["repetition"]) == ("node-07", "ResNet50", 2):
            row |= {"status": "invalid", "reason": "the machine swapped"}
    hosts = {("demo", "node-03"): {"cpu_model": "Atom <x5>", "arch": "x86_64"}}
    return dataset(rows, hosts=hosts, problems=[f"problem {n}" for n in range(30)])


@pytest.fixture(scope="module")
def out(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "demo"
    document.publish(document.build(found), path)
    return path


class Page(HTMLParser):
    """The links and the text of a page, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name == "href"]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_about_all(out, golden):
    golden("report/many.md", (out / "report.md").read_text(encoding="utf-8"))
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert "and 10 more problems, see tables/problems.csv" in page.text
    assert "Atom <x5>" in page.text
    assert len(page.text) < 20_000


def test_every_machine_has_a_page_that_the_first_one_links(out):
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    pages = sorted(f"hosts/{path.name}" for path in (out / "hosts").iterdir())
    assert len(pages) == HOSTS
    assert sorted(link for link in page.links if link.startswith("hosts/")) == pages
    one = Page((out / "hosts" / "node-05.html").read_text(encoding="utf-8"))
    assert one.text.count("killed <sic>") >= 8  # each of its runs, with the reason
    assert "../report.html" in one.links


def test_every_run_and_every_speedup_is_in_the_tables(found, out):
    assert len(pd.read_csv(out / "tables" / "runs.csv")) == len(found.runs)
    assert len(pd.read_csv(out / "tables" / "speedup.csv")) == HOSTS * 3
    assert list(pd.read_csv(out / "tables" / "problems.csv")["problem"]) == found.problems


def test_speedups_over_machines(found):
    study = Study(found)
    of = speedups(study, "avg_inference_ms", "float32")
    table = many.speedups_by_model(study, of).set_index("model")
    mine = of[(of["model"] == "ResNet50") & of["ci_low"].notna()]
    row = table.loc["ResNet50"]
    assert row["missing"] == 1
    assert row["not_comparable"] == 1  # of one machine a single repetition is left
    assert row[["faster", "slower", "not_distinguishable"]].sum() == len(mine) == HOSTS - 2
    assert row["median"] == mine["speedup"].median()
    assert row["least_machine"] == "node-03"
    assert list(table.index) == ["MobileNet", "ResNet50", "geomean"]
    assert table.loc["geomean", "machines"] == HOSTS - 2  # a mean of one of two models is beside all others


def test_a_mean_of_some_models_is_not_ranked(found):
    study = Study(found)
    lists = many.ends(study, speedups(study, "avg_inference_ms", "float32"))
    assert next(iter(lists.values())).rows[0][0] == "node-03"
    assert "node-07" not in {row[0] for grid in lists.values() for row in grid.rows}


def test_a_report_of_few_machines_takes_the_pages_of_many_away(found, out):
    few = dataset(study_rows({"pi": 1.0}, 2, models=["MobileNet"]))
    document.publish(document.build(few), out)
    assert not (out / "hosts").exists()
    assert re.search("<h1>Inference benchmark: demo</h1>", (out / "report.html").read_text(encoding="utf-8"))


def test_long_lists_say_how_much_more_there_is():
    assert many.some(map(str, range(many.SHOWN)), "things") == list(map(str, range(many.SHOWN)))
    assert many.some(map(str, range(many.SHOWN + 2)), "things")[many.SHOWN :] == ["and 2 more things"]
