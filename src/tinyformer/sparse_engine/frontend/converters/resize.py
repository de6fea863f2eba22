"""Resize by nearest neighbour: which element of the input each one of the output repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.frontend.converters import gathering, spatial
from tinyformer.sparse_engine.frontend.operands import Activation
from tinyformer.sparse_engine.frontend.site import Site

_Floats = npt.NDArray[np.float32]
_SINCE_COORDINATES = 11  # before, Resize was asymmetric and rounded down
_ONE, _HALF = np.float32(1), np.float32(0.5)

_ROUNDING: Mapping[str, Callable[[_Floats], _Floats]] = {
    "round_prefer_floor": lambda x: np.ceil(x - _HALF),
    "round_prefer_ceil": lambda x: np.floor(x + _HALF),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _coordinates(mode: str, scale: np.float32, size: int, resized: int) -> _Floats | None:
    """Return where in the input each output index lies, in float32 as onnxruntime; None for an unknown mode."""
    x = np.arange(resized, dtype=np.float32)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and resized > 1):
        return (x + _HALF) / scale - _HALF
    if mode == "pytorch_half_pixel":
        return np.zeros(1, np.float32)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return np.zeros(1, np.float32) if resized == 1 else x * np.float32(size - 1) / np.float32(resized - 1)
    if mode == "half_pixel_symmetric":
        centre, wanted = np.float32(size) / 2, scale * np.float32(size)
        offset = centre * (_ONE - np.float32(resized) / wanted)
        return offset + (x + _HALF) / scale - _HALF
    return None


def _scales(site: Site, x: Activation) -> dict[int, np.float32]:
    """Return the scale of each axis that the node gives one."""
    node, model, rank = site.node, site.model, len(x.shape)
    old = model.opset < _SINCE_COORDINATES
    scales = model.static(node, 1 if old else 2)
    sizes = None if old else model.static_integers(node, 3, "sizes")
    axes = node.integers("axes", None) or tuple(range(rank))
    node.require(all(-rank <= axis < rank for axis in axes), f"there is no axis in {axes}", f"-{rank} .. {rank - 1}")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    node.require(policy == "stretch", f"keep_aspect_ratio_policy is {policy[:20]!r}", "'stretch'")
    if sizes:
        values = [np.float32(size) / np.float32(x.shape[axis]) for size, axis in zip(sizes, axes, strict=False)]
    else:
        values = [] if scales is None else list(scales.reshape(-1).astype(np.float32))
    fits = len(values) == len(axes) and all(np.isfinite(value) and value > 0 for value in values)
    node.require(fits, "its scales do not fit its input", "one positive number for each axis")
    return {axis % rank: value for axis, value in zip(axes, values, strict=True)}


def _resize(site: Site) -> str:
    x, node = site.activation(), site.node
    old = site.model.opset < _SINCE_COORDINATES
    mode = node.text("mode", "nearest")
    node.require(mode == "nearest", f"its mode is {mode[:20]!r}", "'nearest'", "resize by nearest neighbour")
    coordinates = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.text("nearest_mode", "round_prefer_floor")
    node.require(rounding in _ROUNDING, f"nearest_mode is {rounding[:20]!r}", ", ".join(_ROUNDING))
    scales = _scales(site, x)
    rank = spatial.spatial_rank(site, x)
    output = site.output.shape
    node.require(
        len(output) == len(x.shape) and output[:2] == x.shape[:2], f"it makes {output} of {x.shape}", "(1, C, ...)"
    )
    tensor = spatial.channels_last(site, x)
    for axis in range(rank):
        size, resized = x.shape[axis + 2], output[axis + 2]
        found = _coordinates(coordinates, scales.get(axis + 2, _ONE), size, resized)
        if found is None:
            allowed = "half_pixel, half_pixel_symmetric, pytorch_half_pixel, asymmetric, align_corners"
            raise node.error(f"coordinate_transformation_mode is {coordinates[:24]!r}", allowed)
        if scales.get(axis + 2, _ONE) == 1 and size == resized:
            continue
        indices = np.clip(_ROUNDING[rounding](found), 0, size - 1).astype(np.int64)
        tensor = gathering.gather(site, tensor, axis + (2 - rank), [int(index) for index in indices], x.quant)
    moved = spatial.channels_first(site, tensor, rank, x.quant)
    return site.unchanged(Activation(moved, output, x.quant))


CONVERTERS = {"Resize": _resize}
