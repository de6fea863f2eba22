"""What a search samples: a supernet, a path through it, and how sparse each of its blocks becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tinyformer.errors import ConfigError
from tinyformer.search_space.candidates import BlockKind, Candidate, Candidates
from tinyformer.search_space.space import ImageShape


@dataclass(frozen=True, slots=True)
class DotConfig:
    """One DoT with fixed widths and depths; without transformer blocks the transformer's values are 0."""

    downsample_channels: int
    mobilenet_channels: int
    mobilenet_blocks: int
    transformer_channels: int = 0
    embedding: int = 0
    transformer_blocks: int = 0


@dataclass(frozen=True, slots=True)
class ChoiceBlock:
    """A place in the supernet where a path invokes one of several candidates.

    ``id`` is unique and reads like ``dot0.transformer1``; ``input_shape`` is (height, width, channels); ``channels``
    are the output's (the classes for the pooling block); ``embedding`` is 0 but for transformer blocks.
    """

    id: str
    kind: BlockKind
    candidates: Sequence[Candidate]
    input_shape: ImageShape
    channels: int
    embedding: int = 0


@dataclass(frozen=True, slots=True)
class SupernetConfig:
    """A supernet: every width and depth fixed, every choice block still open. ``input_shape`` is (H, W, C)."""

    input_shape: ImageShape
    classes: int
    dots: tuple[DotConfig, ...]
    candidates: Candidates = field(default_factory=Candidates)

    def blocks(self) -> tuple[ChoiceBlock, ...]:
        """Return the choice blocks in execution order."""
        blocks: list[ChoiceBlock] = []
        shape = self.input_shape

        def append(name: str, kind: BlockKind, channels: int, embedding: int = 0) -> ImageShape:
            blocks.append(ChoiceBlock(name, kind, self.candidates.of(kind), shape, channels, embedding))
            halved = kind == "downsample"
            height, width = ((n + 1) // 2 if halved else n for n in shape[:2])
            return height, width, channels

        for i, dot in enumerate(self.dots):
            shape = append(f"dot{i}.downsample", "downsample", dot.downsample_channels)
            for j in range(dot.mobilenet_blocks):
                shape = append(f"dot{i}.mobilenet{j}", "mobilenet", dot.mobilenet_channels)
            for j in range(dot.transformer_blocks):
                shape = append(f"dot{i}.transformer{j}", "transformer", dot.transformer_channels, dot.embedding)
        append("pooling", "pooling", self.classes)
        return tuple(blocks)


@dataclass(frozen=True, slots=True)
class Path:
    """A single-path model: the index of the invoked candidate of each choice block, in the order of ``blocks()``."""

    choices: tuple[int, ...]

    def candidates(self, config: SupernetConfig) -> tuple[tuple[ChoiceBlock, Candidate], ...]:
        """Return each choice block with its invoked candidate.

        Raises:
            ConfigError: the path does not belong to the supernet.
        """
        blocks = config.blocks()
        if len(blocks) != len(self.choices):
            raise ConfigError(f"path of {len(self.choices)} choices; the supernet has {len(blocks)} choice blocks")
        for block, choice in zip(blocks, self.choices, strict=True):
            if not 0 <= choice < len(block.candidates):
                raise ConfigError(f"path: candidate {choice} of {block.id}; allowed: 0 to {len(block.candidates) - 1}")
        return tuple((block, block.candidates[choice]) for block, choice in zip(blocks, self.choices, strict=True))


@dataclass(frozen=True, slots=True)
class BlockSparsity:
    """The share of blocks pruned to zero (0 to below 1), and the number of weights in a block."""

    sparsity: float
    block: int

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ConfigError(f"sparsity {self.sparsity}; allowed: 0 to below 1")
        if self.block < 1:
            raise ConfigError(f"block size {self.block}; allowed: 1 or more")


@dataclass(frozen=True, slots=True)
class SparsityConfig:
    """How sparse the layers of each choice block become, in the order of ``blocks()``."""

    blocks: tuple[BlockSparsity, ...]

    def by_block(self, config: SupernetConfig) -> Mapping[str, BlockSparsity]:
        """Map the ids of the choice blocks to their sparsity.

        Raises:
            ConfigError: the configuration does not belong to the supernet.
        """
        blocks = config.blocks()
        if len(blocks) != len(self.blocks):
            raise ConfigError(
                f"sparsity configuration of {len(self.blocks)} blocks; the supernet has {len(blocks)} choice blocks"
            )
        return {block.id: sparsity for block, sparsity in zip(blocks, self.blocks, strict=True)}

    @classmethod
    def uniform(cls, config: SupernetConfig, sparsity: float, block: int) -> SparsityConfig:
        """Return the configuration that gives every choice block the same sparsity and block size."""
        return cls((BlockSparsity(sparsity, block),) * len(config.blocks()))
