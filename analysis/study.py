"""A `Dataset` as tables, plots and report see it: its machines and cells in order, with their names.

A *cell* is one configuration on one host of one campaign, measured or only meant to be measured. Cells, not runs, are
what tables are made of, so that what failed or is missing keeps its row.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.campaign import Dataset
from analysis.delegation import NOT_AT_ALL, ON_CPU, PARTLY
from analysis.entries import Entries
from analysis.names import COLUMNS, CONFIGURATION, INTEGER, METRICS, NO_REPETITION, OUT_OF_MEMORY, UNTUNED, slug
from analysis.stats import Sample

SETTING = CONFIGURATION[2:]  # all of a configuration but model and variant
SIZES = ("batch_size", "input_size")  # the axes of a sweep
CELL = ("campaign", "host", *CONFIGURATION)

# The study's models, in its order; others follow by name.
STUDY_MODELS = ("MobileNet", "InceptionV3", "ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19")
KNOWN_VARIANTS = ("float32", "dynamic_range", "float16", "int8")

# The metrics of the seed's table and charts: what to call them, and in which unit.
STUDY_METRICS: dict[str, tuple[str, str]] = {
    "init_time_ms": ("Initialization time", "ms"),
    "init_inference_ms": ("Initialization time (timings line)", "ms"),
    "first_inference_ms": ("First inference", "ms"),
    "warmup_inference_ms": ("Warm-up inference, average", "ms"),
    "avg_inference_ms": ("Inference, average", "ms"),
    "memory_init_mb": ("Memory after initialization", "MB"),
    "memory_overall_mb": ("Memory overall", "MB"),
}
_OTHER_METRICS = {
    "images_per_s": ("Throughput", "images/s"),
    "latency_per_image_ms": ("Latency per image", "ms"),
    "energy_run_j": ("Energy per run", "J"),
    "energy_inference_j": ("Energy per inference", "J"),
    "energy_net_inference_j": ("Energy per inference above idle", "J"),
    "power_w": ("Power", "W"),
}
# Facts of runs that must be the same on both sides of a comparison.
SAME_ON_BOTH_SIDES = ("weights", "runner_version", "runner_sha256", "governor", "turbo", "control")
ENERGY_METRICS = tuple(name for name in METRICS if name.endswith(("_j", "_w")))  # also by the same kind of meter


# Clocks that differ by more are worth a word; nothing is ordered by them.
CLOCK_OFFSET_S = 60


class Machine(NamedTuple):
    """One host in one campaign."""

    campaign: str
    host: str


class Setting(NamedTuple):
    """How a model was run. None, or '' for text = not set or not known."""

    runner: str
    threads: int | None
    delegate: str
    batch_size: int | None
    input_size: int | None


class Cell(NamedTuple):
    """One configuration on one machine."""

    machine: Machine
    model: str
    variant: str
    setting: Setting

    def flat(self) -> tuple[Hashable, ...]:
        """In the order of `CELL`."""
        return (*self.machine, self.model, self.variant, *self.setting)


def model_key(model: str) -> tuple[int, str]:
    """Sort key: the study's models first and in its order."""
    return (STUDY_MODELS.index(model) if model in STUDY_MODELS else len(STUDY_MODELS), model)


def variant_key(variant: str) -> tuple[int, str]:
    """Sort key: float32, dynamic_range, float16, int8, then by name."""
    return (KNOWN_VARIANTS.index(variant) if variant in KNOWN_VARIANTS else len(KNOWN_VARIANTS), variant)


def setting_key(setting: Setting) -> tuple:
    """Sort key: by runner, threads, ...; what is not set comes first."""
    return tuple((False, 0) if value is None else (True, value) for value in setting)


def cell_key(cell: Cell) -> tuple:
    """Sort key: machine, setting, model, variant."""
    return (cell.machine, setting_key(cell.setting), model_key(cell.model), variant_key(cell.variant))


def row_label(model: str, variant: str) -> str:
    """The seed's name of a row: MobileNet, MobileNet_quant, and MobileNet_<variant> for what it did not have."""
    return model + {"float32": "", "dynamic_range": "_quant"}.get(variant, f"_{variant}")


@dataclass(frozen=True)
class Study:
    """A dataset and what follows from it. Everything is computed once, when first asked for."""

    dataset: Dataset

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per process execution that was to be a repetition; the others are in the dataset only."""
        other = self.dataset.runs["phase"].isin(NO_REPETITION).to_numpy()
        return self.dataset.runs[~other].reset_index(drop=True) if other.any() else self.dataset.runs

    @cached_property
    def run_cells(self) -> list[Cell | None]:
        """The cell of each run; None where the log does not say which model it was."""
        return self.cells_of_runs(self.runs)

    def cells_of_runs(self, runs: pd.DataFrame) -> list[Cell | None]:
        """The cell of each row of a part of the dataset's runs."""
        keys = zip(*(plain(runs[name]) for name in CELL), strict=True)
        return [Cell(Machine(*k[:2]), k[2], k[3], self.place(Setting(*k[4:]))) if k[2] else None for k in keys]

    @cached_property
    def own_sizes(self) -> dict[str, dict[str, int]]:
        """Batch and input size of each model, where they are the model's own: in this report no model has two.

        Such a size is no part of a setting, else models of 224 and 299 pixels would share no chart and no mean.
        """
        measured = self.runs[["model", *SIZES]].drop_duplicates()
        planned = [line for plan in self.dataset.plans.values() if plan for line in plan if line["model"] != "-"]
        found = {}
        for name in SIZES:
            sizes: dict[str, set[int]] = defaultdict(set)
            for model, size in zip(measured["model"], measured[name], strict=True):
                sizes[model] |= {size} - {pd.NA}
            for line in planned:
                sizes[line["model"]] |= {_planned(name, line[name])} - {None}
            if all(len(values) < 2 for values in sizes.values()):
                found[name] = {model: values.pop() for model, values in sizes.items() if values}
        return found

    def place(self, setting: Setting) -> Setting:
        """The setting without the sizes that are the model's own."""
        return setting._replace(**dict.fromkeys(self.own_sizes))

    def sizes(self, cell: Cell) -> tuple[int | None, int | None]:
        """Batch and input size of a cell, whether or not they are the model's own; None = not known."""
        batch, edge = (
            self.own_sizes[name].get(cell.model) if name in self.own_sizes else getattr(cell.setting, name)
            for name in SIZES
        )
        return batch, edge

    @cached_property
    def positions(self) -> dict[Cell, list[int]]:
        """Where in `runs` the runs of every measured cell are."""
        found: dict[Cell, list[int]] = defaultdict(list)
        for position, cell in enumerate(self.run_cells):
            if cell:
                found[cell].append(position)
        return dict(found)

    @cached_property
    def statuses(self) -> dict[Cell, Counter]:
        """How many runs of each status every measured cell has."""
        status = self.columns["status"]
        return {cell: Counter(status[i] for i in positions) for cell, positions in self.positions.items()}

    def n(self, cell: Cell, status: str) -> int:
        """How many runs of a status a cell has."""
        return self.statuses.get(cell, Counter())[status]

    @cached_property
    def planned(self) -> dict[Machine, set[Cell]]:
        """What each plan asks for, of the machines that have a plan."""
        plans = {Machine(*key): plan for key, plan in self.dataset.plans.items() if plan is not None}
        return {machine: {self._cell(machine, line) for line in plan} - {None} for machine, plan in plans.items()}

    def _cell(self, machine: Machine, line: Mapping[str, str]) -> Cell | None:
        """The cell of a line of a host's table, whose values are text with '-' for empty; None without a model."""
        model, variant = (line.get(name, "-") for name in ("model", "variant"))
        if "-" in (model, variant):
            return None
        setting = Setting(*(_planned(name, line.get(name, "-")) for name in SETTING))
        return Cell(machine, model, variant, self.place(setting))

    @cached_property
    def decided(self) -> dict[Cell, tuple[dict[str, str], dict[str, str]]]:
        """What hosts decided of configurations: their lines of iterations.tsv and of stopping.tsv, {} for none."""
        found: dict[Cell, tuple[dict[str, str], dict[str, str]]] = defaultdict(lambda: ({}, {}))
        for which, tables in enumerate((self.dataset.iterations, self.dataset.stopping)):
            for key, table in tables.items():
                for line in table:
                    if cell := self._cell(Machine(*key), line):
                        found[cell][which].update({name: text for name, text in line.items() if text != "-"})
        return dict(found)

    @cached_property
    def out_of_memory(self) -> set[Cell]:
        """The cells without an ok run that did not fit into memory: by a run's reason, or as their host said."""
        reasons = self.columns["reason"]
        failed = {
            cell
            for cell, positions in self.positions.items()
            if any(reasons[i].startswith(OUT_OF_MEMORY) for i in positions)
        }
        left = {cell for cell, (_, left) in self.decided.items() if left.get("reason", "").startswith(OUT_OF_MEMORY)}
        return {cell for cell in failed | left if not self.n(cell, "ok")}

    def target_percent(self, campaign: str) -> float | None:
        """What the intervals of a campaign were to be narrower than; None where the number of repetitions was fixed."""
        target = self.asked(campaign).get("target_percent")
        return target if self._min_repetitions(campaign) and isinstance(target, int | float) else None

    def max_df(self, *campaigns: str) -> float:
        """Degrees of freedom at most: those of the first repetitions, where a campaign stops when it knows enough."""
        least = filter(None, map(self._min_repetitions, campaigns))
        return min((max(1, minimum - 1) for minimum in least), default=math.inf)

    def _min_repetitions(self, campaign: str) -> int | None:
        """Of a campaign whose hosts decide themselves how many more to measure."""
        least, most = (self.asked(campaign).get(f"{end}_repetitions") for end in ("min", "max"))
        return least if isinstance(least, int) and isinstance(most, int) and 0 < least < most else None

    @cached_property
    def machines(self) -> list[Machine]:
        """Every machine that has a run, a plan or facts, or that its campaign names; sorted."""
        found = set(zip(self.runs["campaign"], self.runs["host"], strict=True))
        found |= {*self.dataset.hosts, *self.dataset.plans, *self.dataset.unfinished}
        found |= {(name, host) for name in self.dataset.campaigns for host in texts(self.campaign(name).get("hosts"))}
        return sorted(Machine(*key) for key in found)

    def campaign(self, name: str) -> dict[str, Any]:
        """campaign.json of a campaign; {} if it has none."""
        return self.dataset.campaigns.get(name) or {}

    def asked(self, campaign: str) -> dict[str, Any]:
        """The settings in campaign.json; {} if it has none."""
        return mapping(self.campaign(campaign).get("settings"))

    @cached_property
    def _entries(self) -> dict[str, Entries]:
        return {name: Entries(self.campaign(name).get("models")) for name in self.dataset.campaigns}

    def model_files(self, campaign: str) -> list[dict[str, Any]]:
        """The models in campaign.json, without the images that they are evaluated with."""
        entries = self._entries[campaign].all if campaign in self._entries else []
        return [entry for entry in entries if entry.get("format") != "npz"]

    def entry(self, cell: Cell) -> dict[str, Any]:
        """What campaign.json says of the model file of a cell; {} where it does not name it."""
        entries = self._entries.get(cell.machine.campaign)
        used = {self.columns["model_sha256"][i] for i in self.positions.get(cell, ())} - {""}
        sha256 = used.pop() if len(used) == 1 else ""
        batch_size, input_size = self.sizes(cell)
        return (
            entries.of(sha256, cell.model, cell.variant, cell.setting.runner, batch_size, input_size) if entries else {}
        )

    @cached_property
    def cells(self) -> list[Cell]:
        """Everything measured, planned or asked for, in report order.

        Each model and variant that a campaign has anywhere is expected on each of its machines: in the settings of the
        machine that have both, as not every runner has every variant.
        """
        found: set[Cell] = set(self.statuses).union(*self.planned.values())
        by_machine: dict[Machine, set[Cell]] = {machine: set() for machine in self.machines}
        kinds: dict[str, tuple[set[str], set[str]]] = {}
        for campaign in {machine.campaign for machine in self.machines}:
            asked = self.asked(campaign)
            kinds[campaign] = (set(texts(asked.get("models"))), set(texts(asked.get("variants"))))
        for cell in found:
            by_machine[cell.machine].add(cell)
            models, variants = kinds[cell.machine.campaign]
            models.add(cell.model)
            variants.add(cell.variant)
        # A machine of which nothing is known would have been measured as all others of its campaign were.
        common: dict[str, set[Setting]] = {}
        for machine, have in by_machine.items():
            if settings := {cell.setting for cell in have}:
                common[machine.campaign] = common.get(machine.campaign, settings) & settings
        for machine, have in by_machine.items():
            used = self.planned.get(machine) or {cell for cell in have if self.n(cell, "ok")} or have
            settings = {cell.setting for cell in used} or common.get(machine.campaign)
            settings = settings or set(_all_settings(self.asked(machine.campaign)))
            of_model: dict[str, set[Setting]] = defaultdict(set)
            of_variant: dict[str, set[Setting]] = defaultdict(set)
            for cell in have:
                of_model[cell.model].add(cell.setting)
                of_variant[cell.variant].add(cell.setting)
            lacking = set(product(*kinds[machine.campaign])) - {(cell.model, cell.variant) for cell in have}
            have |= {
                Cell(machine, model, variant, setting)
                for model, variant in lacking
                for setting in of_model[model] & of_variant[variant]
                or of_model[model]
                or of_variant[variant]
                or settings
            }
        return sorted((cell for cells in by_machine.values() for cell in cells), key=cell_key)

    @cached_property
    def cells_of(self) -> dict[Machine, list[Cell]]:
        """The cells of each machine, in report order."""
        found: dict[Machine, list[Cell]] = {machine: [] for machine in self.machines}
        for cell in self.cells:
            found[cell.machine].append(cell)
        return found

    @cached_property
    def groups(self) -> dict[tuple[Machine, Setting], list[Cell]]:
        """The cells by machine and setting: what is compared with each other and shares a chart."""
        found: dict[tuple[Machine, Setting], list[Cell]] = defaultdict(list)
        for cell in self.cells:
            found[cell.machine, cell.setting].append(cell)
        return dict(found)

    @cached_property
    def variants(self) -> list[str]:
        """Every variant there is, in order."""
        return sorted({cell.variant for cell in self.cells}, key=variant_key)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The parts of a setting that differ within this report; only these are worth a column or a label."""
        columns = zip(*{cell.setting for cell in self.cells}, strict=True)
        found = {name for name, values in zip(SETTING, columns, strict=False) if len(set(values)) > 1}
        found |= {"delegate"} if self.partly else set()  # whose star is to be seen
        return tuple(name for name in SETTING if name in found)

    def setting_label(self, setting: Setting, machine: Machine | None = None) -> str:
        """'4 threads, batch 8': what varies in this report and is set; '' if nothing varies."""
        values = {name: getattr(setting, name) for name in self.varying}
        if values.get("delegate"):
            values["delegate"] = self.delegate_label(setting.delegate, machine)
        parts = [_setting_text(name, value) for name, value in values.items() if value not in (None, "")]
        return ", ".join(parts) or ("defaults" if values else "")

    @cached_property
    def partly(self) -> dict[Cell, str]:
        """The cells of which the delegate executes only parts, and how much: '59 of 64 nodes', '' = not told."""
        runs = self.runs[["delegation", "status", "delegated_nodes", "graph_nodes"]]
        partly = np.flatnonzero(runs["delegation"].eq(PARTLY) & runs["status"].eq("ok"))
        found: dict[Cell, set[str]] = defaultdict(set)
        for i, done, total in zip(partly, *(runs[name].iloc[partly] for name in runs.columns[2:]), strict=True):
            if cell := self.run_cells[i]:
                found[cell] |= set() if pd.isna(total) else {f"{done} of {total} nodes"}
        return {cell: " / ".join(sorted(texts)) for cell, texts in found.items()}

    @cached_property
    def untuned(self) -> dict[Cell, str]:
        """The cells whose kernels are not all tuned though their variant does not say so: '12 of 16 kernels tuned'."""
        runs = self.runs[["kernels", "tuned_kernels"]]
        found: dict[Cell, set[str]] = defaultdict(set)
        for i in np.flatnonzero((runs["tuned_kernels"] < runs["kernels"]).fillna(False).to_numpy(bool)):
            cell = self.run_cells[i]
            if cell and not cell.variant.endswith(UNTUNED):
                found[cell].add("{tuned_kernels} of {kernels} kernels tuned".format(**runs.iloc[i]))
        return {cell: " / ".join(sorted(texts)) for cell, texts in found.items()}

    @cached_property
    def in_float(self) -> dict[Cell, str]:
        """The cells of int8 variants that compute in floating point, by any of their runs, and in which type."""
        runs = self.runs[["variant", "arithmetic"]]
        floating = runs["variant"].str.startswith("int8") & runs["arithmetic"].str.startswith("float")
        at = np.flatnonzero(floating.to_numpy(bool)).tolist()
        return {cell: runs["arithmetic"].iloc[i] for i in at if (cell := self.run_cells[i])}

    @cached_property
    def fell_back(self) -> set[Cell]:
        """The cells of which a delegate that is not the CPU executed nothing, by all of their runs that tell."""
        told = self.runs["delegation"].to_numpy()
        cells = self.positions.items() if (told == NOT_AT_ALL).any() else ()
        extents = {c: set(told[positions]) - {""} for c, positions in cells if c.setting.delegate not in ON_CPU}
        return {cell for cell, found in extents.items() if found == {NOT_AT_ALL}}

    def delegate_label(self, delegate: str, machine: Machine | None = None) -> str:
        """The delegate, with a star where it executes only parts of some model: on a machine, or else on any."""
        starred = any(cell.setting.delegate == delegate and machine in (None, cell.machine) for cell in self.partly)
        return f"{delegate}*" if starred else delegate

    def host_name(self, machine: Machine) -> str:
        """The host's name in its inventory, with the campaign where there are several."""
        return machine.host if len(self.dataset.campaigns) < 2 else "/".join(machine)

    @cached_property
    def repeated(self) -> dict[Machine, tuple[int, int]]:
        """Of each machine that has any: how many runs were repeated, and of how many of these a repeat is ok."""
        columns = (plain(self.runs[name]) for name in ("campaign", "host", "log", "retry", "status"))
        repeats: dict[Machine, dict[str, bool]] = defaultdict(dict)
        for campaign, host, log, retry, status in zip(*columns, strict=True):
            if retry:
                original = log.rpartition("/")[2].rpartition(".retry")[0]
                of_machine = repeats[Machine(campaign, host)]
                of_machine[original] = of_machine.get(original, False) or status == "ok"
        return {machine: (len(of), sum(of.values())) for machine, of in repeats.items()}

    def clock_offset_s(self, machine: Machine) -> float:
        """By how much the machine's clock was ahead of the controller's, in seconds; 0 where that is not known."""
        offset = (self.dataset.hosts.get(machine) or {}).get("clock_offset_s")
        return float(offset) if isinstance(offset, int | float) and math.isfinite(offset) else 0.0

    @cached_property
    def dates(self) -> list[str]:
        """The days on which runs were started, by clocks that are right as far as one knows."""
        started = zip(*(self.runs[name] for name in ("campaign", "host", "start_utc")), strict=True)
        days = {(Machine(campaign, host), start[:10]) for campaign, host, start in started if start}
        return sorted({day for machine, day in days if abs(self.clock_offset_s(machine)) <= CLOCK_OFFSET_S})

    @cached_property
    def platforms(self) -> dict[Machine, str]:
        """platform_label of each machine, else the host's name."""
        labels = ((Machine(*key), facts.get("platform_label")) for key, facts in self.dataset.hosts.items())
        found = {machine: label for machine, label in labels if isinstance(label, str)}
        for campaign, host, platform in zip(*(self.runs[n] for n in ("campaign", "host", "platform")), strict=True):
            found[Machine(campaign, host)] = platform
        return {machine: found.get(machine) or machine.host for machine in self.machines}

    @cached_property
    def labels(self) -> dict[Machine, str]:
        """A name for each machine that is unique in this report, and as short as that allows."""
        labels = dict(self.platforms)
        for longer in ("{platform} ({host})", "{platform} ({campaign}/{host})"):
            taken = Counter(labels.values())
            for machine, label in labels.items():
                if taken[label] > 1:
                    labels[machine] = longer.format(platform=self.platforms[machine], **machine._asdict())
        return labels

    def place_label(self, machine: Machine, setting: Setting) -> str:
        """'Raspberry Pi 5, 4 threads'."""
        return ", ".join(part for part in (self.labels[machine], self.setting_label(setting, machine)) if part)

    @cached_property
    def stems(self) -> dict[Machine, str]:
        """A file name for each machine."""
        hosts = Counter(machine.host for machine in self.machines)
        names = (m.host if hosts[m.host] == 1 else f"{m.campaign}_{m.host}" for m in self.machines)
        return dict(zip(self.machines, file_names(names), strict=True))

    @cached_property
    def group_stems(self) -> dict[tuple[Machine, Setting], str]:
        """A file name for each machine and setting: the machine's where it has only one."""
        names = (f"{self.stems[machine]} {self.setting_label(setting)}" for machine, setting in self.groups)
        return dict(zip(self.groups, file_names(names), strict=True))

    @cached_property
    def charted(self) -> dict[tuple[Machine, Setting], str]:
        """The machines and settings that have charts of their own, and the names of their files.

        Of several batch or input sizes these are each model's least: the others are points in the charts of sweeps.
        """

        def least_first(cell: Cell) -> tuple[int, int]:
            return cell.setting.input_size or 0, cell.setting.batch_size or 0

        least: dict[Cell, Cell] = {}
        for cell in self.cells:
            key = cell._replace(variant="", setting=cell.setting._replace(**dict.fromkeys(SIZES)))
            least[key] = min(least.get(key, cell), cell, key=least_first)
        places = {(cell.machine, cell.setting) for cell in least.values()}
        return {place: stem for place, stem in self.group_stems.items() if place in places}

    @cached_property
    def _ok(self) -> dict[Cell, np.ndarray]:
        """Where in `runs` the ok runs of each cell are."""
        status = self.columns["status"]
        return {
            cell: np.array([i for i in positions if status[i] == "ok"], int)
            for cell, positions in self.positions.items()
        }

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Columns of `runs` as numpy arrays, which are much cheaper to pick from than a DataFrame."""
        facts = ("status", "reason", "block", "repetition", "outlier", "model_sha256", "energy_meter")
        facts += SAME_ON_BOTH_SIDES
        numbers = {name: self.runs[name].to_numpy(dtype=float) for name in METRICS}
        return numbers | {name: np.array(plain(self.runs[name]), dtype=object) for name in facts}

    def sample(self, cell: Cell, metric: str) -> Sample:
        """The metric of every ok run of a cell that reports it."""
        positions = self._ok.get(cell, np.array([], dtype=int))
        values = self.columns[metric][positions]
        reported = ~np.isnan(values)
        return Sample(values[reported].tolist(), self.columns["block"][positions][reported].tolist())

    def in_order(self, cell: Cell, metric: str) -> dict[int, float]:
        """The metric of the ok runs of a cell by repetition, the number of which says in what order they ran."""
        positions = self._ok.get(cell, ())
        numbers = ((self.columns["repetition"][i], self.columns[metric][i]) for i in positions)
        return {number: value for number, value in numbers if number is not None and not math.isnan(value)}

    def known(self, cells: Iterable[Cell], fact: str) -> list[str]:
        """The different values of a fact over the ok runs of some cells; unknown ('') left out."""
        return sorted({self.columns[fact][i] for cell in cells for i in self._ok.get(cell, ())} - {""})

    def conditions(self, cells: Sequence[Cell], metric: str) -> dict[str, list[str]]:
        """The different values of each fact that must be the same wherever a metric of some cells is compared."""
        found = {name: self.known(cells, name) for name in SAME_ON_BOTH_SIDES}
        if metric in ENERGY_METRICS:  # a run without a meter has no energy, and is not compared
            found["energy_meter"] = [meter for meter in self.known(cells, "energy_meter") if meter != "none"]
        return found


def file_names(names: Iterable[str]) -> list[str]:
    """Names as file names, made unique also for file systems that do not tell upper from lower case."""
    taken: dict[str, str] = {}
    for name in names:
        base = stem = slug(name)
        n = 1
        while stem.lower() in taken:
            n += 1
            stem = f"{base}-{n}"
        taken[stem.lower()] = stem
    return list(taken.values())


def plain(column: pd.Series) -> list[Any]:
    """A column's values as plain Python: None for numbers that are not there, '' for text."""
    if COLUMNS[str(column.name)] == INTEGER:
        return [None if value is pd.NA else value for value in column.astype(object)]
    return column.fillna("").tolist()


def mapping(value: Any) -> dict[str, Any]:
    """A JSON value that should be an object; {} if it is not."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """The texts in a JSON value that should be a list of them."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _planned(name: str, text: str) -> str | int | None:
    if COLUMNS[name] == INTEGER:
        return int(text) if text.isascii() and text.isdigit() else None
    return "" if text == "-" else text


def _all_settings(asked: Mapping[str, Any]) -> Iterable[Setting]:
    """All combinations of the campaign's settings, for machines of which nothing else is known."""

    def integers(name: str) -> list[int | None]:
        values = asked.get(name)
        return [v for v in values if isinstance(v, int)] or [None] if isinstance(values, list) else [None]

    return (
        Setting(*values)
        for values in product(
            texts(asked.get("runners")) or [""],
            integers("threads"),
            texts(asked.get("delegates")) or [""],
            integers("batch_sizes"),
            integers("input_sizes"),
        )
    )


def _setting_text(name: str, value: str | int) -> str:
    return {
        "runner": str(value),
        "threads": "1 thread" if value == 1 else f"{value} threads",
        "delegate": f"delegate {value}",
        "batch_size": f"batch {value}",
        "input_size": f"input {value}",
    }[name]


def metric_label(metric: str) -> tuple[str, str]:
    """What to call a metric, and its unit."""
    unit = metric.rpartition("_")[2]
    name = metric.removesuffix(f"_{unit}").replace("_", " ").capitalize()
    return (STUDY_METRICS | _OTHER_METRICS).get(metric, (name, unit.replace("mb", "MB")))
