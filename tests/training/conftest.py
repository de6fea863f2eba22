import numpy as np
import pytest
import torch
from torch import nn

torch.set_num_threads(1)

CLASSES = 3


class TinyNet(nn.Module):
    """A convolution with batch norm, dropout and a classifier: everything that has state or draws random numbers."""

    def __init__(self, seed=0, width=6, dropout=0.1):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(1, width, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(width)
            self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(width * 16, CLASSES)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        x = torch.relu(self.depthwise(x))
        return self.head(self.dropout(nn.functional.max_pool2d(x, 2).flatten(1)))


@pytest.fixture
def net():
    return TinyNet


@pytest.fixture
def bars():
    """Images of 8 x 8 with a bright bar whose place is the label: x uint8 (48, 8, 8, 1), y int64 (48,)."""
    generator = np.random.default_rng(3)
    y = np.arange(48) % CLASSES
    x = generator.integers(0, 60, (48, 8, 8, 1), np.uint8)
    for image, label in zip(x, y, strict=True):
        image[1 + 2 * label : 3 + 2 * label] += 150
    return x, y.astype(np.int64)
