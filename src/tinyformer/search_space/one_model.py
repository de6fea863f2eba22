"""The search space of one model: from what a file says of it to a space that holds it, whatever it was found in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from tinyformer.errors import ConfigError
from tinyformer.search_space.candidates import BlockKind, Candidate, Candidates, TransformerCandidate, candidate_of
from tinyformer.search_space.sampling import Value
from tinyformer.search_space.space import DOT_FIELDS, DotSpace, ImageShape, SearchSpace

_KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
# Of a model without transformer blocks, which has no such values; nothing is built from them.
_NO_TRANSFORMER: Mapping[str, Value] = {"transformer_channels": 1, "embedding": 1, "transformer_blocks": 0}


def space_of_one_model(
    input_shape: ImageShape, classes: int, supernet: Mapping[str, Value], path: Mapping[str, Value]
) -> SearchSpace:
    """Return the space whose only supernet is a model's and whose candidates are those that the model's path invokes.

    Args:
        input_shape: (height, width, channels) of its images.
        classes: what it tells apart.
        supernet: its widths and depths by name, as ``supernet_to_dict`` gives them.
        path: the labels of its candidates by choice block, as ``path_to_dict`` gives them.

    Raises:
        ConfigError: the two describe no model.
    """
    count = len({name.partition(".")[0] for name in supernet})
    transformer = "dot0.transformer_blocks" in supernet
    dots = tuple(_dot(index, supernet, {} if transformer else _NO_TRANSFORMER) for index in range(count))
    return SearchSpace("one model", input_shape, classes, dots, _candidates(path), transformer)


def _dot(index: int, supernet: Mapping[str, Value], otherwise: Mapping[str, Value]) -> DotSpace:
    values: dict[str, tuple[int, ...]] = {}
    for name in DOT_FIELDS:
        value = supernet.get(f"dot{index}.{name}", otherwise.get(name))
        if not isinstance(value, int):
            raise ConfigError(f"dot{index}.{name} = {value}; allowed: an integer")
        values[name] = (value,)
    return DotSpace(**values)


def _candidates(path: Mapping[str, Value]) -> Candidates:
    invoked: dict[BlockKind, tuple[Candidate, ...]] = dict.fromkeys(_KINDS, ())
    for block, label in path.items():
        name = block.rpartition(".")[2].rstrip("0123456789")
        kind = next((kind for kind in _KINDS if kind == name), None)
        if kind is None:
            raise ConfigError(f"choice block '{block}'; allowed: {', '.join(_KINDS)} blocks")
        candidate = candidate_of(kind, str(label))
        if candidate not in invoked[kind]:
            invoked[kind] += (candidate,)
    invoked["transformer"] = invoked["transformer"] or (TransformerCandidate(encoders=1, heads=1, mlp_ratio=1),)
    return Candidates(**{kind: found for kind, found in invoked.items() if found})  # type: ignore[arg-type]
