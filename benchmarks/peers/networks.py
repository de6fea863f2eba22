"""The peers of the paper's Table I for 32 x 32 images, as their papers describe them, with the first strides left out.

MobileNetV2 keeps two of its five strides (the last feature maps are 8 x 8), MobileViT-XS its last four, ResNet-18 its
last three behind a 3x3 stem; CCT-7/3x1 is made for this size. With these the paper's peak memories come out: 192 KB is
three maps of 32 x 32 x 64, 416 KB two of 32 x 32 x 192 and one of 32, 160 KB a map of 128 channels and one of 32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

CLASSES = 10


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalisation, padded to keep the size at stride 1."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """A basic block of ResNet: two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, 3, stride), nn.ReLU(), conv(outputs, outputs, 3))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class Pooled(nn.Module):
    """Global average and a linear classifier."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(features, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x.mean((2, 3)))


def resnet18() -> nn.Module:
    """He et al. 2016: four stages of two basic blocks, 64 to 512 channels."""
    layers: list[nn.Module] = [conv(3, 64, 3), nn.ReLU()]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(inputs, outputs, stride), Residual(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, Pooled(inputs))


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2, also in MobileViT: expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, activation: type[nn.Module]) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [conv(inputs, hidden, 1), activation()] if expansion != 1 else []
        self.body = nn.Sequential(
            *expand, conv(hidden, hidden, 3, stride, groups=hidden), activation(), conv(hidden, outputs, 1)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.residual else y


def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018, width 1: strides in the stages of 64 and 160 channels only."""
    layers: list[nn.Module] = [conv(3, 32, 3), nn.ReLU6()]
    inputs = 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 1), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outputs, repeats, stride in stages:
        for index in range(repeats):
            layers.append(Inverted(inputs, outputs, stride if index == 0 else 1, expansion, nn.ReLU6))
            inputs = outputs
    return nn.Sequential(*layers, conv(inputs, 1280, 1), nn.ReLU6(), Pooled(1280))


class Encoder(nn.Module):
    """A pre-norm transformer encoder."""

    def __init__(self, width: int, heads: int, hidden: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.project = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, hidden), activation(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        groups, tokens, width = x.shape
        shape = (groups, tokens, self.heads, width // self.heads)
        y = self.before_attention(x)
        query, key, value = (layer(y).reshape(shape).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(2, 3) * (width // self.heads) ** -0.5
        y = (scores.softmax(-1) @ value).transpose(1, 2).reshape(groups, tokens, width)
        x = x + self.project(y)
        return x + self.mlp(self.before_mlp(x))


class MobileViTBlock(nn.Module):
    """Mehta and Rastegari 2022: convolutions around encoders over the pixels at one place of all 2x2 patches."""

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.before = nn.Sequential(conv(channels, channels, 3), nn.SiLU(), nn.Conv2d(channels, width, 1, bias=False))
        self.encoders = nn.Sequential(*(Encoder(width, 4, 2 * width, nn.SiLU) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.after = nn.Sequential(conv(width, channels, 1), nn.SiLU())
        self.fuse = nn.Sequential(conv(2 * channels, channels, 3), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        _, width, rows, columns = y.shape
        patches = (rows // 2, columns // 2)
        y = y.reshape(width, patches[0], 2, patches[1], 2).permute(2, 4, 1, 3, 0)
        y = self.norm(self.encoders(y.reshape(4, patches[0] * patches[1], width)))
        y = y.reshape(2, 2, *patches, width).permute(4, 2, 0, 3, 1).reshape(1, width, rows, columns)
        return self.fuse(torch.cat([x, self.after(y)], 1))


def mobilevit_xs() -> nn.Module:
    """Mehta and Rastegari 2022, XS: 48 to 96 channels, encoders of 96, 120 and 144."""
    layers: list[nn.Module] = [conv(3, 16, 3), nn.SiLU(), Inverted(16, 32, 1, 4, nn.SiLU)]
    layers += [Inverted(32, 48, 2, 4, nn.SiLU), Inverted(48, 48, 1, 4, nn.SiLU), Inverted(48, 48, 1, 4, nn.SiLU)]
    for inputs, outputs, width, depth in ((48, 64, 96, 2), (64, 80, 120, 4), (80, 96, 144, 3)):
        layers += [Inverted(inputs, outputs, 2, 4, nn.SiLU), MobileViTBlock(outputs, width, depth)]
    return nn.Sequential(*layers, conv(96, 384, 1), nn.SiLU(), Pooled(384))


class CompactTransformer(nn.Module):
    """Hassani et al. 2021: one convolution makes tokens, seven encoders, sequence pooling."""

    def __init__(self, width: int = 256, depth: int = 7, heads: int = 4) -> None:
        super().__init__()
        self.tokenizer = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.positions = nn.Parameter(torch.randn(1, 256, width) * 0.2)
        self.encoders = nn.Sequential(*(Encoder(width, heads, 2 * width, nn.GELU) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.pool = nn.Linear(width, 1)
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokenizer(x).flatten(2).transpose(1, 2) + self.positions
        x = self.norm(self.encoders(x))
        weights = self.pool(x).softmax(1).transpose(1, 2)
        return self.classifier((weights @ x).squeeze(1))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18,
    "MobileNetV2": mobilenet_v2,
    "MobileViT-XS": mobilevit_xs,
    "CCT-7/3x1": CompactTransformer,
}
"""Peer -> what builds it, in the order of the table."""
