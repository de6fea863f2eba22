"""Parameters by name: enumerate them for samplers, draw them at random, turn them into configurations and back.

Supernets, paths and sparsity configurations each are a flat mapping of parameter names to values that JSON can hold.
A sampler that suggests a value for each ``Parameter`` and a random draw go through the same decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyformer.errors import ConfigError
from tinyformer.search_space.space import SearchSpace
from tinyformer.search_space.supernet_config import (
    BlockSparsity,
    DotConfig,
    Path,
    SparsityConfig,
    SupernetConfig,
)

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A categorical parameter: its name, and the values it may take."""

    name: str
    choices: tuple[Value, ...]


def supernet_parameters(space: SearchSpace) -> tuple[Parameter, ...]:
    """Return the parameters of a supernet, such as ``dot0.embedding``."""
    return tuple(
        Parameter(f"dot{i}.{name}", getattr(dot, name))
        for i, dot in enumerate(space.dots)
        for name in space.dot_fields()
    )


def supernet_from_dict(space: SearchSpace, values: Mapping[str, Value]) -> SupernetConfig:
    """Return the supernet with the given parameter values; other keys are ignored.

    Raises:
        ConfigError: a parameter is missing or outside the space.
    """
    chosen = _take(supernet_parameters(space), values)
    dots = tuple(
        DotConfig(**{name: int(chosen[f"dot{i}.{name}"]) for name in space.dot_fields()})
        for i in range(len(space.dots))
    )
    return SupernetConfig(space.input_shape, space.classes, dots, space.candidates)


def supernet_to_dict(space: SearchSpace, config: SupernetConfig) -> dict[str, Value]:
    """Return the parameter values of a supernet of the space.

    Raises:
        ConfigError: the supernet is not in the space.
    """
    values: dict[str, Value] = {
        f"dot{i}.{name}": getattr(dot, name) for i, dot in enumerate(config.dots) for name in space.dot_fields()
    }
    if supernet_from_dict(space, values) != config:
        raise ConfigError(f"the supernet is not in search space {space.name}; allowed: one sampled from it")
    return values


def path_parameters(config: SupernetConfig) -> tuple[Parameter, ...]:
    """Return the parameters of a path: for each choice block its id and its candidates' labels."""
    return tuple(Parameter(block.id, tuple(c.label for c in block.candidates)) for block in config.blocks())


def path_from_dict(config: SupernetConfig, values: Mapping[str, Value]) -> Path:
    """Return the path with the given candidates; other keys are ignored.

    Raises:
        ConfigError: a choice block is missing, or has no such candidate.
    """
    parameters = path_parameters(config)
    chosen = _take(parameters, values)
    return Path(tuple(p.choices.index(chosen[p.name]) for p in parameters))


def path_to_dict(config: SupernetConfig, path: Path) -> dict[str, Value]:
    """Return the invoked candidate's label for each choice block."""
    return {block.id: candidate.label for block, candidate in path.candidates(config)}


def sparsity_parameters(space: SearchSpace, config: SupernetConfig) -> tuple[Parameter, ...]:
    """Return the parameters of a sparsity configuration: ``<block id>.sparsity`` and ``<block id>.block``."""
    return tuple(
        parameter
        for block in config.blocks()
        for parameter in (
            Parameter(f"{block.id}.sparsity", space.sparsities),
            Parameter(f"{block.id}.block", space.block_sizes),
        )
    )


def sparsity_from_dict(space: SearchSpace, config: SupernetConfig, values: Mapping[str, Value]) -> SparsityConfig:
    """Return the sparsity configuration with the given values; other keys are ignored.

    A dense block gets the space's first block size, so that equal models have equal configurations.

    Raises:
        ConfigError: a parameter is missing or outside the space.
    """
    chosen = _take(sparsity_parameters(space, config), values)
    blocks = []
    for block in config.blocks():
        sparsity = float(chosen[f"{block.id}.sparsity"])
        size = int(chosen[f"{block.id}.block"]) if sparsity else space.block_sizes[0]
        blocks.append(BlockSparsity(sparsity, size))
    return SparsityConfig(tuple(blocks))


def sparsity_to_dict(config: SupernetConfig, sparsity: SparsityConfig) -> dict[str, Value]:
    """Return the parameter values of a sparsity configuration."""
    values: dict[str, Value] = {}
    for name, entry in sparsity.by_block(config).items():
        values[f"{name}.sparsity"] = entry.sparsity
        values[f"{name}.block"] = entry.block
    return values


def sample_supernet(space: SearchSpace, rng: np.random.Generator) -> SupernetConfig:
    """Draw a supernet, each parameter uniformly."""
    return supernet_from_dict(space, _draw(supernet_parameters(space), rng))


def sample_path(config: SupernetConfig, rng: np.random.Generator) -> Path:
    """Draw a path, each candidate uniformly."""
    return path_from_dict(config, _draw(path_parameters(config), rng))


def sample_sparsity(space: SearchSpace, config: SupernetConfig, rng: np.random.Generator) -> SparsityConfig:
    """Draw a sparsity configuration, sparsity and block size of each choice block uniformly."""
    return sparsity_from_dict(space, config, _draw(sparsity_parameters(space, config), rng))


def _draw(parameters: Sequence[Parameter], rng: np.random.Generator) -> dict[str, Value]:
    return {p.name: p.choices[int(rng.integers(len(p.choices)))] for p in parameters}


def _take(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> dict[str, Value]:
    for parameter in parameters:
        if parameter.name not in values:
            raise ConfigError(f"parameter '{parameter.name}' is missing; allowed: one of {parameter.choices}")
        if values[parameter.name] not in parameter.choices:
            raise ConfigError(
                f"parameter '{parameter.name}' = {values[parameter.name]!r}; allowed: one of {parameter.choices}"
            )
    return {p.name: values[p.name] for p in parameters}
