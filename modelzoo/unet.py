"""The U-Net of brain MRI segmentation (Buda, Saha, Mazurowski 2019), with the layer names of its published weights.

Part of convert_torch.py, and like it no part of the library: it needs torch.
"""

from collections import OrderedDict

import torch
from torch import nn


class UNet(nn.Module):
    """Four levels down and up again: each halves the image and doubles the features; a mask in 0..1 comes out.

    Input (batch, channels, height, width), height and width divisible by 16; output (batch, masks, height, width).
    """

    def __init__(self, channels: int = 3, masks: int = 1, features: int = 32) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(5)]
        inputs = [channels, *widths]
        self.pool = nn.MaxPool2d(kernel_size=2)
        for level in range(1, 5):
            below, here = widths[level], widths[level - 1]
            setattr(self, f"encoder{level}", block(f"enc{level}", inputs[level - 1], here))
            setattr(self, f"upconv{level}", nn.ConvTranspose2d(below, here, kernel_size=2, stride=2))
            setattr(self, f"decoder{level}", block(f"dec{level}", 2 * here, here))
        self.bottleneck = block("bottleneck", widths[3], widths[4])
        self.conv = nn.Conv2d(features, masks, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skipped = {}
        for level in range(1, 5):
            skipped[level] = getattr(self, f"encoder{level}")(x)
            x = self.pool(skipped[level])
        x = self.bottleneck(x)
        for level in range(4, 0, -1):
            x = torch.cat((getattr(self, f"upconv{level}")(x), skipped[level]), dim=1)
            x = getattr(self, f"decoder{level}")(x)
        return torch.sigmoid(self.conv(x))


def block(name: str, inputs: int, features: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch norm and ReLU; the published names carry the block's own again."""
    layers = OrderedDict()
    for number, channels in ((1, inputs), (2, features)):
        layers[f"{name}conv{number}"] = nn.Conv2d(channels, features, kernel_size=3, padding=1, bias=False)
        layers[f"{name}norm{number}"] = nn.BatchNorm2d(features)
        layers[f"{name}relu{number}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)
