"""What people do with a report: look at it in a browser, paste its tables into LaTeX, read its data."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest

from analysis import document, grids
from analysis.grids import Grid
from tests.labs.skipping import needs
from tests.unit.datasets import dataset, study_rows

ODD = "Odd_100% & #1 <é> $x^2$ [µ] --a"  # how somebody might call a board


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """8 hosts x 14 configurations x 10 repetitions; on one host a model failed, one host has an odd name."""
    rows = study_rows({f"host-{i}": 1 + i / 4 for i in range(8)}, 10)
    for row in rows:
        row["platform"] = ODD if row["host"] == "host-7" else row["host"]
        if (row["host"], row["model"], row["variant"]) == ("host-3", "VGG19", "dynamic_range"):
            row |= {
                "status": "failed",
                "reason": "killed (out of memory): --num_threads=4 ^C",
                "avg_inference_ms": None,
            }
    model = {"model": "MobileNet", "variant": "float32", "size_bytes": 16861716, "sha256": "5a" * 32}
    facts = {"settings": {"profile": "study"}, "models": [model]}
    path = tmp_path_factory.mktemp("outputs") / "out"
    document.publish(document.build(dataset(rows, campaigns={"demo": facts})), path)
    return path


# --- in a browser -----------------------------------------------------------------------------------------------------

CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"),
)
LISTEN = """<script>
const errors = [];
for (const kind of ["error", "securitypolicyviolation"])
  addEventListener(kind, (event) => errors.push(event.message ?? event.violatedDirective));
</script>"""
ANSWER = """<script>
{
  const answer = (() => { %s })();
  const said = document.createElement("pre");
  said.textContent = JSON.stringify({ ...answer, errors });
  document.body.replaceChildren(said);
}
</script>"""


def visited(page: Path, directory: Path, script: str) -> dict:
    """What a script returns at the end of a copy of the page, with the errors that there were."""
    needs("browser")
    text = page.read_text(encoding="utf-8")
    copy = directory / "page.html"
    text = text.replace("<head>", f"<head>{LISTEN}", 1).replace("</body>", f"{ANSWER % script}</body>")
    copy.write_text(text, encoding="utf-8")
    command = [*CHROMIUM, f"--user-data-dir={directory / 'profile'}", "--window-size=1280,800", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(html.unescape(re.search("<pre>(.*)</pre>", done.stdout, re.DOTALL)[1]))


USE = """
  const column = (table, i) => [...table.tBodies[0].rows].map((row) => row.cells[i].textContent);
  const click = (table, i) => {
    const head = table.tHead.rows[0].cells[i];
    head.querySelector("button").click();
    return [head.ariaSort, ...column(table, i)];
  };
  const screen = [...document.querySelectorAll("#short h2")].map((head) => head.getBoundingClientRect().bottom);
  const [glance, one] = document.querySelectorAll("#speedups table");
  const heads = [...one.tHead.rows[0].cells].map((head) => head.textContent);
  const before = column(glance, 2);
  const sorted = [click(glance, 2), click(glance, 2), click(glance, 2)];
  const intervals = click(one, heads.indexOf("95 % interval"));
  const models = click(one, 0);

  const runs = document.querySelector("#runs details:nth-of-type(4)");
  runs.open = true;
  const input = runs.querySelector("input");
  input.value = "vgg19  FAILED";
  input.dispatchEvent(new Event("input"));
  const left = [...runs.querySelectorAll("tbody tr")].filter((row) => row.offsetHeight);
  const right = left.every((row) => /VGG19.*killed/.test(row.textContent));
  const filtered = [left.length, right, runs.querySelector("[role=status]").textContent];

  const bar = document.querySelector("#charts [data-says]"), box = bar.getBoundingClientRect();
  const at = { clientX: box.left - 5, clientY: box.top + box.height / 2, bubbles: true };
  bar.dispatchEvent(new PointerEvent("pointermove", at));
  const tip = document.querySelector(".tip");
  const hover = [tip.hidden, tip.textContent, bar.dataset.says];
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  hover.push(tip.hidden);

  dispatchEvent(new Event("beforeprint"));
  const closed = document.querySelectorAll("details:not([open])").length;
  document.documentElement.style.width = "400px";  // a window cannot be that narrow
  return { screen, height: innerHeight, before, sorted, heads, intervals, models, filtered, hover, closed,
    narrow: document.body.scrollWidth };
"""


def test_a_browser_opens_sorts_filters_and_points(out, tmp_path):
    seen = visited(out / "report.html", tmp_path, USE)
    assert seen["errors"] == []
    assert len(seen["screen"]) == 3
    assert max(seen["screen"]) < seen["height"], "found, sure and distrust are on the first screen"

    up, down, back = seen["sorted"]
    assert up == ["ascending", *sorted(seen["before"], key=float)]
    assert down == ["descending", *sorted(seen["before"], key=float, reverse=True)]
    assert back == [None, *seen["before"]]
    order, *intervals, _ = seen["intervals"]
    assert order == "ascending"
    assert intervals == sorted(intervals, key=lambda text: float(text.split(" to ")[0]))
    assert seen["models"][-1] == "geometric mean", "means stay below what they are of"
    assert seen["models"][1:-1] == sorted(
        seen["models"][1:-1], key=lambda name: (name[0], int(re.sub(r"\D", "", name) or 0))
    )

    assert seen["filtered"] == [10, True, "10 of 140 rows"]
    hidden, shown, says, hidden_after_escape = seen["hover"]
    assert (hidden, hidden_after_escape) == (False, True)
    assert shown == says
    assert re.fullmatch(r"MobileNet, float32: \d\.\d+ ± 0\.\d+ ms \(n = 10\)", shown)
    assert seen["closed"] == 0, "all is printed"
    assert seen["narrow"] <= 400, "on a phone tables and charts scroll, not the page"


def test_the_page_is_small_enough_to_be_sent(out):
    assert (out / "report.html").stat().st_size < 5e6


# --- LaTeX ------------------------------------------------------------------------------------------------------------


def test_latex_compiles_with_what_each_file_says_it_needs(out, tmp_path):
    needs("latex")
    odd = ["".join(map(chr, range(32, 127))), "±∞≈×≤≥°²µ·–—…‘’“”®™©ßøØæÆéÅçñž", "中\x00\x1b😀", "[2pt]", "*", ODD]
    (tmp_path / "odd.tex").write_text(grids.latex(Grid.of(odd, [[text] * len(odd) for text in odd])), encoding="utf-8")
    needing = defaultdict(list)
    for path in (*(out / "tables").glob("*.tex"), tmp_path / "odd.tex"):
        needing[re.match(r"% needs (\\usepackage\{.*\})\n", path.read_text(encoding="utf-8"))[1]].append(path)
    assert len(needing) >= 3
    for packages, paths in needing.items():
        body = "\n\n".join(f"\\input{{{path}}}" for path in paths)
        text = f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
        (tmp_path / "all.tex").write_text(text, encoding="utf-8")
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Missing character" not in (tmp_path / "all.log").read_text(encoding="latin-1")


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b 95 % & #1", r"a\_b 95 \% \& \#1"),
        ("--num_threads=2 – 3", r"-{}-num\_threads=2 -- 3"),
        ("≈ 1.02 × 3", r"$\approx$ 1.02 $\times$ 3"),
        ("Ångström 中", r"\r{A}ngstr\"{o}m (U+4E2D)"),
        ("[a]\n*", "{[}a] {*}"),
    ],
)
def test_latex_text(text, latex):
    assert grids.latex_text(text) == latex


# --- data -------------------------------------------------------------------------------------------------------------


def test_every_table_and_chart_is_also_data(out):
    for path in (out / "tables").glob("*.csv"):
        table = pd.read_csv(path)
        data = pd.read_parquet(out / "data" / f"{path.stem}.parquet")
        assert len(data) == len(table)
        assert set(table) <= set(data)
        if path.stem != "runs":
            numbers = table.select_dtypes("float").dropna(axis="columns", how="all")
            assert data[list(numbers)].astype(float).equals(numbers), path.stem
    assert {path.stem for path in (out / "plots").glob("*.svg")} == {
        path.stem for path in (out / "plots").glob("*.csv")
    }
    for name in ("speedup", "at_a_glance", "effects", "machines", "trust", "models", "missing", "final_result_host-0"):
        lines = (out / "tables" / f"{name}.md").read_text(encoding="utf-8").splitlines()
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])
        assert (out / "tables" / f"{name}.tex").exists()
