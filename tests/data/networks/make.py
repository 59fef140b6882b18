"""Make the tiny networks of this directory (some ten KB each), as archives of torch.export and as ONNX models.

They are committed; this script says how they came about. Run it with torch 2.13, onnx and onnxscript, from the top of
the repository:

    python tests/data/networks/make.py
"""

from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
ANY_BATCH = {0: torch.export.Dim("batch", min=1)}


class Image(nn.Module):
    """What CNNs are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(8, 10)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(input), 1))


class Lookup(nn.Module):
    """Several inputs of several types, of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 4)

    def forward(self, words: torch.Tensor, scale: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.table(words) * scale * mask


def main() -> None:
    torch.manual_seed(0)
    lookup = (torch.zeros(1, 5, dtype=torch.int64), torch.ones(1, 5, 4), torch.ones(1, 5, 1, dtype=torch.bool))
    networks = {
        "image": (Image(), (torch.zeros(2, 3, 32, 32),), {"input": ANY_BATCH}),
        "lookup": (Lookup(), lookup, None),
    }
    for name, (module, inputs, sizes) in networks.items():
        program = torch.export.export(module.eval(), inputs, dynamic_shapes=sizes)
        torch.export.save(program, HERE / f"{name}.pt2")
        torch.onnx.export(program, dynamo=True).save(HERE / f"{name}.onnx")


if __name__ == "__main__":
    main()
