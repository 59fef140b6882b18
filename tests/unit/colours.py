"""Images of one colour each, as a held-out file, for the networks `colours` of tests/data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan"]
LABELS = [0, 1, 2, 3, 4, 5, 6, 6, 6]
COLOURS = [0, 1, 2, 3, 4, 5, 6, 6, 2]  # what the images show: the last is called cyan and is green


def write(path: Path, **changed: Any) -> Path:
    """Write the file; what is given takes the place of its arrays, None leaves one out."""
    noise = np.random.default_rng(0).integers(0, 60, (len(COLOURS), 8, 8, 3))
    shown = np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in COLOURS])[:, None, None, :]
    arrays = {
        "images": np.abs(255 * shown - noise).astype(np.uint8),
        "labels": np.array(LABELS, np.int64),
        "classes": np.array(CLASSES),
        "scale": np.full(3, 1 / 255, np.float32),
        "offset": np.zeros(3, np.float32),
        "evaluated_on": np.array("colours"),
        "remark": np.array("made here"),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: values for name, values in (arrays | changed).items() if values is not None})
    return path
