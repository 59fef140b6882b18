"""The command line: progress on standard error, one line per event; one JSON object on standard output."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from modelzoo import pets, targets
from modelzoo.build import WEIGHTS, Build
from modelzoo.catalogue import (
    COMPILED,
    DEFAULT_MODELS,
    DEFAULT_VARIANTS,
    FORMATS,
    MODELS,
    TRAINED_HERE,
    VARIANTS,
    Model,
    can_be,
    check_names,
)
from modelzoo.datasets import DIGITS, DIRECTORY_EPOCHS, HELD_OUT, PETS, DataSet, find
from modelzoo.directory import Directory
from modelzoo.download import Download
from modelzoo.drive import DriveFolder
from modelzoo.ensure import Failure, Outcome, Source, Wanted, describe, ensure, file_of
from modelzoo.errors import UsageError, ZooError
from modelzoo.paths import cache_dir
from modelzoo.weights import Finished, finished

EPILOG = """\
examples:
  python -m modelzoo ensure --weights random
  python -m modelzoo ensure --models MobileNet,VGG16 --variants float32,int8 --weights imagenet
  python -m modelzoo ensure --models FireNet --variants float32,pruned_dynamic_range --dataset ~/fire
  python -m modelzoo ensure --models DigitCNN --variants float32,int8 --formats keras,tflite,npz
  python -m modelzoo ensure --models MobileNetV2 --variants int8 --dataset pets --weights imagenet
  python -m modelzoo ensure --models ResNet18,UNet --variants float32 --formats pt2,onnx --input-sizes 224,448
  python -m modelzoo ensure --models FireNet --variants float32,int8_untuned --formats so --tvm-targets=-mcpu=haswell
  python -m modelzoo ensure --source directory --source-dir ~/models
  python -m modelzoo ensure --source download --download-list models.tsv
  python -m modelzoo list
"""
ENSURE = """\
Make models be there: what is there and right is kept, the rest is built, downloaded or linked. Every file's sha256 is
checked. Progress goes to standard error; the last thing on standard output is a JSON object:
  {"changed": bool, "dir": "...", "models": [...], "failed": [{"model", "variant", "reason"}, ...], "left_out": [...]}
"""
EXIT_CODES = """\
exit codes: 0 all models are there, but for those left out (libraries whose kernels cannot be tuned here, or that are
to be had for other CPUs only), 1 some are not (the others are there and listed), 2 wrong usage
"""
LIST_NOTES = """
input: height and width of the image, in pixels. parameters: as Keras or PyTorch counts them, shared ones once.
GMACs: 1e9 multiply-accumulates of one image, in convolutions and dense layers. GFLOPs: twice as many operations.
Below each format and variant: size of the file in MB / memory to convert it in GB; - where there is none.
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
        default=list(DEFAULT_MODELS),
        metavar="NAME,...",
        help=f"of {','.join(MODELS)}; any other name only from --source download or directory; default: those of Keras",
    )
    ensuring.add_argument(
        "--variants",
        type=_names,
        default=list(DEFAULT_VARIANTS),
        metavar="NAME,...",
        help=f"of {','.join(VARIANTS | COMPILED)} (the untuned ones of so only); default: {','.join(DEFAULT_VARIANTS)}",
    )
    ensuring.add_argument(
        "--formats",
        type=_names,
        default=["tflite"],
        metavar="NAME,...",
        help=f"of {','.join(FORMATS)}; pt2 (torch.export) and onnx hold float32 models of PyTorch, so is a library "
        "that TVM compiles from the TFLite file of float32 or int8; keras and npz (images held out, whatever the "
        "variants) of DigitCNN and MobileNetV2, npz of FireNet too; default: tflite",
    )
    ensuring.add_argument(
        "--batch-sizes",
        type=_sizes,
        default=[1],
        metavar="N,...",
        help="images per inference, a file for each; pt2, onnx and keras take any; default: 1",
    )
    ensuring.add_argument(
        "--input-sizes",
        type=_sizes,
        default=[],
        metavar="N,...",
        help="height and width of the image, in pixels, a file for each; default: each model's own",
    )
    ensuring.add_argument(
        "--tvm-targets",
        type=_targets,
        action="extend",
        metavar="TARGET;...",
        help="CPUs that libraries are for, a file for each, such as llvm -mcpu=core-avx2 or -mcpu=cortex-a72; default: "
        "this machine's where they are built",
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
        help="what can be made again, such as the builders' environments; default: $EDGEBENCH_CACHE, else %(default)s",
    )
    ensuring.add_argument("--check", action="store_true", help="say what would be done, and do nothing")

    build = ensuring.add_argument_group(
        "--source build (through TensorFlow, tensorflow-model-optimization or PyTorch, each in an environment of its "
        "own, made when it is needed)"
    )
    build.add_argument(
        "--weights",
        choices=WEIGHTS,
        help="random: seeded, for measuring time only; imagenet: trained, downloaded (UNet's on brain MRI instead); "
        "FireNet, DigitCNN and MobileNetV2 are trained here, the last one from these weights; default: random",
    )
    build.add_argument("--seed", type=int, metavar="N", help="of random weights, and of trainings; default: 0")
    build.add_argument(
        "--dataset",
        metavar="digits|pets|DIR",
        help="what these are trained and evaluated on: scikit-learn's digits (FireNet: even or odd), Oxford-IIIT Pet "
        "(downloaded), or a directory with a directory of images for each class (a quarter of them is held out), or "
        "with a copy of Pet; default: digits",
    )
    build.add_argument(
        "--dataset-url", metavar="URL", help="a mirror of pets: a directory with images.tar.gz and annotations.tar.gz"
    )
    build.add_argument(
        "--trained",
        metavar="FILE|URL",
        help="finished weights of DigitCNN or MobileNetV2 instead of a training: .h5, .weights.h5 or .keras; they may "
        "have been trained on the images held out",
    )
    build.add_argument("--trained-sha256", metavar="SHA256", help="of that file; needed with a URL")
    build.add_argument(
        "--epochs",
        type=_count,
        metavar="N",
        help=f"how often a training sees each image; default: {DataSet().epochs}, of pets or a directory "
        f"{DIRECTORY_EPOCHS}",
    )
    build.add_argument(
        "--tvm-minutes",
        type=_minutes,
        metavar="N",
        help="how long the kernels of each library are tuned, in all; they are kept in the cache (tvm), so more "
        "minutes go on where fewer ended; 0 = take what is there; default: 3",
    )
    build.add_argument(
        "--weights-url",
        metavar="URL",
        help="a mirror's directory with PyTorch's trained weights under their published names; default: where they are "
        "published",
    )

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


def _sizes(text: str) -> list[int]:
    """Whole numbers above 0 separated by commas, each once; none is no number."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"'{text}': whole numbers above 0 separated by commas expected")
    return list(dict.fromkeys(map(int, words)))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}': a whole number above 0 expected")
    return int(text)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1
    if not 0 <= minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}': a number of minutes, 0 or above, expected")
    return minutes


def _targets(text: str) -> list[str]:
    try:
        return [targets.normalised(each) for each in text.split(";") if each.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _ensure(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments)
    models_dir = (arguments.dir or arguments.cache / "models").expanduser().absolute()
    try:
        source = _source(arguments, wanted)
        wanted = [each for each in wanted if each.variant != HELD_OUT or source.offers(each)]
        outcome = ensure(source, wanted, models_dir, _say, arguments.check)
    except UsageError:
        raise
    except ZooError as error:
        outcome = Outcome(directory=models_dir, failed=[Failure(each, str(error)) for each in wanted])
    document = {
        "changed": outcome.changed,
        "dir": str(outcome.directory),
        "models": [asdict(entry) for entry in outcome.models],
        "failed": [asdict(failure.wanted) | {"reason": failure.reason} for failure in outcome.failed],
        "left_out": [asdict(failure.wanted) | {"reason": failure.reason} for failure in outcome.left_out],
    }
    print(json.dumps(document))
    _say(_summary(outcome, len(wanted)))
    return 1 if outcome.failed else 0


def _wanted(arguments: argparse.Namespace) -> list[Wanted]:
    """Return the files that the options describe, each once.

    Not every model is to be had in every format, nor every variant: what there cannot be is left out as long as each
    word of the options has some file. Raises UsageError when one has none. Images held out are no variant of a model,
    and not missed where there are none.
    """
    check_names("format", arguments.formats, FORMATS)
    formats = [each for each in arguments.formats if each != "npz"]
    kinds = list(itertools.product(arguments.models, arguments.variants, formats))
    if formats != arguments.formats:
        kinds += [(model, HELD_OUT, "npz") for model in arguments.models]
    wanted = [
        file_of(*each, batch_size, input_size, target)
        for each in kinds
        if can_be(*each, built=arguments.source == "build")
        for batch_size in arguments.batch_sizes or [1]
        for input_size in arguments.input_sizes or [None]
        for target in arguments.tvm_targets or [targets.own() if arguments.source == "build" else None]
    ]
    if arguments.source == "build" and any(each.format == "so" and not each.target for each in wanted):
        raise UsageError("TVM has no packages for this machine; name the CPUs of others with --tvm-targets")
    words = {"model": arguments.models, "variant": arguments.variants if formats else [], "format": formats}
    for axis in words:
        found = {getattr(each, axis) for each in wanted}
        for word in words[axis]:
            if word not in found:
                raise UsageError(
                    f"{axis} '{word}' is to be had in none of these combinations: models {','.join(arguments.models)}, "
                    f"variants {','.join(arguments.variants)}, formats {','.join(arguments.formats)}; "
                    "python -m modelzoo list shows what there is"
                )
    return list(dict.fromkeys(wanted))


def _source(arguments: argparse.Namespace, wanted: list[Wanted]) -> Source:
    """Return the source that the options describe; options of another source are an error, not ignored."""
    own = {
        "build": (
            *("weights", "seed", "weights_url", "dataset", "dataset_url", "epochs"),
            *("trained", "trained_sha256", "tvm_minutes"),
        ),
        "download": ("download_list", "drive_folder", "checksums"),
        "directory": ("source_dir",),
    }
    for source, options in own.items():
        for option in options:
            if source != arguments.source and getattr(arguments, option) is not None:
                raise UsageError(f"--{option.replace('_', '-')} goes with --source {source}, not {arguments.source}")
    if arguments.source == "build":
        cache = arguments.cache.expanduser().absolute()
        build = Build(
            cache,
            weights=arguments.weights or "random",
            seed=arguments.seed or 0,
            weights_url=arguments.weights_url,
            dataset=_dataset(arguments, wanted, cache),
            epochs=arguments.epochs,
            finished=_finished(arguments),
            tvm_minutes=3 if arguments.tvm_minutes is None else arguments.tvm_minutes,
        )
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


def _dataset(arguments: argparse.Namespace, wanted: list[Wanted], cache: Path) -> DataSet:
    """Return the data set of the options; a directory's images are read only where a network is trained on them."""
    if arguments.dataset_url and arguments.dataset != PETS:
        raise UsageError(f"--dataset-url goes with --dataset {PETS}")
    if arguments.dataset == PETS:
        return pets.pets(cache, arguments.dataset_url)
    if not any(each.model in MODELS and MODELS[each.model].framework in TRAINED_HERE for each in wanted):
        return DataSet()
    try:
        return find(arguments.dataset or DIGITS)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _finished(arguments: argparse.Namespace) -> Finished | None:
    if arguments.trained is None:
        if arguments.trained_sha256:
            raise UsageError("--trained-sha256 goes with --trained")
        return None
    if arguments.epochs:
        raise UsageError("--epochs is of a training; with --trained there is none")
    try:
        return finished(arguments.trained, arguments.trained_sha256)
    except ValueError as error:
        raise UsageError(str(error)) from error


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
    kinds = [(variant, "tflite") for variant in VARIANTS]
    kinds += [("float32", "pt2"), ("float32", "onnx"), ("float32", "keras"), (HELD_OUT, "npz")]
    row = "{:16} {:>5} {:>12} {:>7} {:>7}  " + "".join(f" {{:>{max(13, len(variant))}}}" for variant, _ in kinds)
    print(row.format("", "", "", "", "", *(file_format for _, file_format in kinds)))
    print(row.format("model", "input", "parameters", "GMACs", "GFLOPs", *(variant for variant, _ in kinds)))
    for model in MODELS.values():
        gmacs = model.macs / 1e9
        facts = (model.name, model.input_size, f"{model.parameters:,}", f"{gmacs:.3f}", f"{2 * gmacs:.3f}")
        print(row.format(*facts, *(_cost(model, kind) for kind in kinds)))
    print(LIST_NOTES, end="")
    return 0


def _cost(model: Model, kind: tuple[str, str]) -> str:
    """'17 / 0.9': MB of the file, GB of memory to convert it."""
    return f"{model.size_mb(kind[0]):.0f} / {model.memory_gb[kind]:.1f}" if kind in model.memory_gb else "-"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
