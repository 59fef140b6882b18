"""The command line: progress on standard error, one line per event; one JSON object on standard output."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from modelzoo.build import WEIGHTS, Build
from modelzoo.catalogue import DEFAULT_VARIANTS, MODELS, VARIANTS
from modelzoo.directory import Directory
from modelzoo.download import Download
from modelzoo.drive import DriveFolder
from modelzoo.ensure import Failure, Outcome, Source, Wanted, describe, ensure
from modelzoo.errors import UsageError, ZooError
from modelzoo.paths import cache_dir

EPILOG = """\
examples:
  python -m modelzoo ensure --weights random
  python -m modelzoo ensure --models MobileNet,VGG16 --variants float32,int8 --weights imagenet
  python -m modelzoo ensure --source directory --source-dir ~/models
  python -m modelzoo ensure --source download --download-list models.tsv
  python -m modelzoo list
"""
ENSURE = """\
Make models be there: what is there and right is kept, the rest is built, downloaded or linked. Every file's sha256 is
checked. Progress goes to standard error; the last thing on standard output is a JSON object:
  {"changed": bool, "dir": "...", "models": [...], "failed": [{"model", "variant", "reason"}, ...]}
"""
EXIT_CODES = """\
exit codes: 0 all models are there, 1 some are not (the others are there and listed), 2 wrong usage
"""


def main(argv: list[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, _end)
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(arguments)
    except UsageError as error:
        print(f"modelzoo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("modelzoo: interrupted; what is ready is kept, run it again for the rest", file=sys.stderr)
        return 130


def _end(number: int, frame: FrameType | None) -> None:
    """Let the way out be that of Ctrl-C, so that conversions are ended too."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelzoo",
        description="The models of a campaign: build them, download them or use what is there.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="show the models that can be built, with sizes and memory needs")
    listing.set_defaults(command=_list)

    ensuring = commands.add_parser(
        "ensure",
        help="make models be there",
        description=ENSURE,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ensuring.set_defaults(command=_ensure)
    ensuring.add_argument(
        "--models",
        type=_names,
        default=list(MODELS),
        metavar="NAME,...",
        help=f"default: {','.join(MODELS)}; any other name only from --source download or directory",
    )
    ensuring.add_argument(
        "--variants",
        type=_names,
        default=list(DEFAULT_VARIANTS),
        metavar="NAME,...",
        help=f"of {','.join(VARIANTS)}; default: {','.join(DEFAULT_VARIANTS)}",
    )
    ensuring.add_argument(
        "--source", choices=["build", "download", "directory"], default="build", help="default: build"
    )
    ensuring.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="keep models below DIR, a subdirectory for each source and kind of weights; default: models in the cache",
    )
    ensuring.add_argument(
        "--cache",
        type=Path,
        default=cache_dir(),
        metavar="DIR",
        help="what can be made again, such as TensorFlow's environment; default: $EDGEBENCH_CACHE, else %(default)s",
    )
    ensuring.add_argument("--check", action="store_true", help="say what would be done, and do nothing")

    build = ensuring.add_argument_group(
        "--source build (keras.applications, through TensorFlow in its own environment)"
    )
    build.add_argument(
        "--weights",
        choices=WEIGHTS,
        help="random: seeded, for measuring time only; imagenet: trained, downloaded by Keras; default: random",
    )
    build.add_argument("--seed", type=int, metavar="N", help="of random weights; default: 0")

    download = ensuring.add_argument_group("--source download")
    origin = download.add_mutually_exclusive_group()
    origin.add_argument(
        "--download-list",
        metavar="FILE|URL",
        help="TSV with the header model, variant, url, sha256[, weights], or a JSON array of objects with these fields",
    )
    origin.add_argument(
        "--drive-folder",
        metavar="URL|ID",
        help="Google Drive folder with MobileNet.tflite (float32), MobileNet_quant.tflite (dynamic_range), ...",
    )
    download.add_argument(
        "--checksums",
        type=Path,
        metavar="FILE",
        help="with --drive-folder: sha256 of its files, as sha256sum writes it",
    )

    directory = ensuring.add_argument_group("--source directory")
    directory.add_argument(
        "--source-dir",
        type=Path,
        metavar="DIR",
        help="directory with files named MobileNet.float32.tflite, or as in the Drive folder; used in place",
    )
    return parser


def _names(text: str) -> list[str]:
    """Names separated by commas, each once; they become parts of file names."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    bad = [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)]
    if bad or not names:
        raise argparse.ArgumentTypeError(
            f"'{text}': names separated by commas expected, each of letters, digits, '_' and '-'"
        )
    return names


def _ensure(arguments: argparse.Namespace) -> int:
    wanted = [Wanted(model, variant) for model in arguments.models for variant in arguments.variants]
    models_dir = (arguments.dir or arguments.cache / "models").expanduser().absolute()
    try:
        outcome = ensure(_source(arguments, wanted), wanted, models_dir, _say, arguments.check)
    except UsageError:
        raise
    except ZooError as error:
        outcome = Outcome(directory=models_dir, failed=[Failure(each, str(error)) for each in wanted])
    document = {
        "changed": outcome.changed,
        "dir": str(outcome.directory),
        "models": [asdict(entry) for entry in outcome.models],
        "failed": [asdict(failure.wanted) | {"reason": failure.reason} for failure in outcome.failed],
    }
    print(json.dumps(document))
    _say(_summary(outcome, len(wanted)))
    return 1 if outcome.failed else 0


def _source(arguments: argparse.Namespace, wanted: list[Wanted]) -> Source:
    """Return the source that the options describe; options of another source are an error, not ignored."""
    own = {
        "build": ("weights", "seed"),
        "download": ("download_list", "drive_folder", "checksums"),
        "directory": ("source_dir",),
    }
    for source, options in own.items():
        for option in options:
            if source != arguments.source and getattr(arguments, option) is not None:
                raise UsageError(f"--{option.replace('_', '-')} goes with --source {source}, not {arguments.source}")
    if arguments.source == "build":
        cache = arguments.cache.expanduser().absolute()
        build = Build(cache, weights=arguments.weights or "random", seed=arguments.seed or 0)
        build.check(wanted)
        return build
    if arguments.source == "directory":
        if arguments.source_dir is None:
            raise UsageError("--source directory needs --source-dir DIR")
        return Directory(arguments.source_dir)
    if arguments.checksums and not arguments.drive_folder:
        raise UsageError("--checksums goes with --drive-folder; a download list has a sha256 on each line")
    if arguments.drive_folder:
        return DriveFolder(arguments.drive_folder, arguments.checksums)
    if arguments.download_list:
        return Download(arguments.download_list)
    raise UsageError("--source download needs --download-list FILE|URL or --drive-folder URL|ID")


def _summary(outcome: Outcome, wanted: int) -> str:
    """The last line: what is there, or for each reason what is not."""
    if not outcome.failed:
        return f"ready in {outcome.directory}: {describe(outcome.models)}"
    by_reason: dict[str, list[str]] = {}
    for failure in outcome.failed:
        by_reason.setdefault(failure.reason, []).append(failure.wanted.key)
    reasons = "; ".join(f"{', '.join(keys)}: {reason}" for reason, keys in by_reason.items())
    return f"modelzoo: {len(outcome.failed)} of {wanted} models are not there: {reasons}"


def _list(_: argparse.Namespace) -> int:
    print(f"{'model':12} {'input':>5} {'parameters':>12}   size in MB / memory to convert in GB")
    print(f"{'':12} {'':5} {'':12}   " + " ".join(f"{variant:>15}" for variant in VARIANTS))
    for model in MODELS.values():
        cells = (f"{model.size_mb(variant):.0f} / {model.memory_gb[variant]:.1f}" for variant in VARIANTS)
        print(
            f"{model.name:12} {model.input_size:5} {model.parameters:12,}   "
            + " ".join(f"{cell:>15}" for cell in cells)
        )
    return 0


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
