"""The architecture candidates of the four kinds of choice block (paper Fig. 4), as data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tinyformer.errors import ConfigError

BlockKind = Literal["downsample", "mobilenet", "transformer", "pooling"]
DownsampleKind = Literal["conv_max_pool", "conv_stride", "mobilenet"]
PoolingKind = Literal["sequence", "average"]

DOWNSAMPLE_KINDS: tuple[DownsampleKind, ...] = ("conv_max_pool", "conv_stride", "mobilenet")
POOLING_KINDS: tuple[PoolingKind, ...] = ("sequence", "average")
DEFAULT_DOWNSAMPLE_EXPANSION = 3


def _require(condition: bool, what: str, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"search space: {what}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class DownsampleCandidate:
    """Halve height and width: a convolution and 2x2 max pooling, a strided convolution, or a strided MobileNetV2 block.

    ``expansion`` is read by the MobileNetV2 candidate only.
    """

    kind: DownsampleKind
    expansion: int = DEFAULT_DOWNSAMPLE_EXPANSION

    def __post_init__(self) -> None:
        _require(self.kind in DOWNSAMPLE_KINDS, f"downsample candidate '{self.kind}'", ", ".join(DOWNSAMPLE_KINDS))
        _require(self.expansion >= 1, f"downsample expansion {self.expansion}", "1 or more")

    @property
    def label(self) -> str:
        """The candidate's name in results."""
        return f"mobilenet_x{self.expansion}" if self.kind == "mobilenet" else self.kind


@dataclass(frozen=True, slots=True)
class MobileNetCandidate:
    """An inverted residual with an expansion factor."""

    expansion: int

    def __post_init__(self) -> None:
        _require(self.expansion >= 1, f"MobileNetV2 expansion {self.expansion}", "1 or more")

    @property
    def label(self) -> str:
        """The candidate's name in results."""
        return f"x{self.expansion}"


@dataclass(frozen=True, slots=True)
class TransformerCandidate:
    """A number of encoders, their heads, and the width of their MLP relative to the embedding."""

    encoders: int
    heads: int
    mlp_ratio: int

    def __post_init__(self) -> None:
        for name in ("encoders", "heads", "mlp_ratio"):
            _require(getattr(self, name) >= 1, f"transformer {name} {getattr(self, name)}", "1 or more")

    @property
    def label(self) -> str:
        """The candidate's name in results."""
        return f"l{self.encoders}_h{self.heads}_m{self.mlp_ratio}"


@dataclass(frozen=True, slots=True)
class PoolingCandidate:
    """Sequence pooling, or 2x2 average pooling and flattening; the classifier belongs to it."""

    kind: PoolingKind

    def __post_init__(self) -> None:
        _require(self.kind in POOLING_KINDS, f"pooling candidate '{self.kind}'", ", ".join(POOLING_KINDS))

    @property
    def label(self) -> str:
        """The candidate's name in results."""
        return self.kind


Candidate = DownsampleCandidate | MobileNetCandidate | TransformerCandidate | PoolingCandidate

_LABELS: Mapping[BlockKind, tuple[str, Callable[..., Candidate]]] = {
    "downsample": (
        r"([a-z_]+?)(?:_x(\d+))?",
        lambda kind, expansion: DownsampleCandidate(kind, int(expansion or DEFAULT_DOWNSAMPLE_EXPANSION)),
    ),
    "mobilenet": (r"x(\d+)", lambda expansion: MobileNetCandidate(int(expansion))),
    "transformer": (r"l(\d+)_h(\d+)_m(\d+)", lambda *numbers: TransformerCandidate(*map(int, numbers))),
    "pooling": (r"([a-z]+)", PoolingCandidate),
}


def candidate_of(kind: BlockKind, label: str) -> Candidate:
    """Return the candidate that a label names, as every label does completely.

    Raises:
        ConfigError: no candidate of this kind has such a label.
    """
    pattern, make = _LABELS[kind]
    match = re.fullmatch(pattern, label)
    candidate = None if match is None else make(*match.groups())
    if candidate is None or candidate.label != label:
        raise ConfigError(f"search space: {kind} candidate '{label}'; allowed: labels such as a search's results have")
    return candidate


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of each kind of choice block; a path invokes one per block."""

    downsample: tuple[DownsampleCandidate, ...] = tuple(DownsampleCandidate(kind) for kind in DOWNSAMPLE_KINDS)
    mobilenet: tuple[MobileNetCandidate, ...] = tuple(MobileNetCandidate(expansion) for expansion in (2, 3, 4))
    transformer: tuple[TransformerCandidate, ...] = (
        TransformerCandidate(encoders=1, heads=1, mlp_ratio=2),
        TransformerCandidate(encoders=2, heads=2, mlp_ratio=2),
        TransformerCandidate(encoders=3, heads=1, mlp_ratio=1),
    )
    pooling: tuple[PoolingCandidate, ...] = tuple(PoolingCandidate(kind) for kind in POOLING_KINDS)

    def __post_init__(self) -> None:
        for kind in ("downsample", "mobilenet", "transformer", "pooling"):
            labels = Counter(candidate.label for candidate in self.of(kind))
            _require(bool(labels), f"no {kind} candidates", "one or more")
            repeated = [label for label, count in labels.items() if count > 1]
            _require(not repeated, f"{kind} candidate {repeated[:1]} is listed twice", "different candidates")

    def of(self, kind: BlockKind) -> Sequence[Candidate]:
        """Return the candidates of a kind of block."""
        candidates: Sequence[Candidate] = getattr(self, kind)
        return candidates
