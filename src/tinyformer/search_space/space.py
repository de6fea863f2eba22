"""The search space: what may vary from one supernet, path and sparsity configuration to another."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from tinyformer.errors import ConfigError
from tinyformer.search_space.candidates import Candidates

Shape = tuple[int, ...]
ImageShape = tuple[int, int, int]  # height, width, channels

SPARSITIES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BLOCK_SIZES = (2, 4)
DEPTHWISE_BLOCK = 3


@dataclass(frozen=True, slots=True)
class DotSpace:
    """The choices for one DoT (Downsample, MobileNetV2, Transformer); a single choice fixes a value.

    Channels are of the block's output. ``embedding`` is the width of a token, ``*_blocks`` the number of repeats.
    """

    downsample_channels: tuple[int, ...]
    mobilenet_channels: tuple[int, ...]
    mobilenet_blocks: tuple[int, ...]
    transformer_channels: tuple[int, ...]
    embedding: tuple[int, ...]
    transformer_blocks: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in DOT_FIELDS:
            choices = getattr(self, name)
            least = 0 if name.endswith("_blocks") else 1
            if not choices or min(choices) < least or len(set(choices)) != len(choices):
                raise ConfigError(f"search space: {name} = {choices}; allowed: different integers, {least} or more")


DOT_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(DotSpace))
_TRANSFORMER_FIELDS = ("transformer_channels", "embedding", "transformer_blocks")


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """All that a search chooses from.

    ``input_shape`` is (height, width, channels). ``dots`` holds one or two DoTs in the paper, any number here;
    ``transformer`` off removes the transformer blocks (the paper's ablation, Table II).

    Raises:
        ConfigError: a value is out of range, or a number of heads does not divide an embedding.

    Reference: paper Sec. III-B1 and Fig. 4.
    """

    name: str
    input_shape: ImageShape
    classes: int
    dots: tuple[DotSpace, ...]
    candidates: Candidates = field(default_factory=Candidates)
    transformer: bool = True
    sparsities: tuple[float, ...] = SPARSITIES
    block_sizes: tuple[int, ...] = BLOCK_SIZES

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ConfigError(
                f"search space {self.name}: input shape {self.input_shape}; allowed: (height, width, channels)"
            )
        if self.classes < 2:
            raise ConfigError(f"search space {self.name}: {self.classes} classes; allowed: 2 or more")
        if not self.dots:
            raise ConfigError(f"search space {self.name}: no DoT; allowed: one or more (the paper has two)")
        if not self.sparsities or any(s not in SPARSITIES for s in self.sparsities):
            raise ConfigError(f"search space {self.name}: sparsities {self.sparsities}; allowed: {SPARSITIES}")
        if not self.block_sizes or any(b not in BLOCK_SIZES for b in self.block_sizes):
            raise ConfigError(f"search space {self.name}: block sizes {self.block_sizes}; allowed: {BLOCK_SIZES}")
        if self.transformer:
            self._check_heads()

    def _check_heads(self) -> None:
        for index, dot in enumerate(self.dots):
            for candidate in self.candidates.transformer:
                odd = [embedding for embedding in dot.embedding if embedding % candidate.heads]
                if odd:
                    raise ConfigError(
                        f"search space {self.name}: dot{index} embedding {odd[0]} with {candidate.heads} heads; "
                        f"allowed: embeddings that the heads of every transformer candidate divide"
                    )

    def dot_fields(self) -> tuple[str, ...]:
        """Return the names of the values that are searched per DoT."""
        return DOT_FIELDS if self.transformer else tuple(f for f in DOT_FIELDS if f not in _TRANSFORMER_FIELDS)
