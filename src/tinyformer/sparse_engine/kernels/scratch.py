"""Scratch bytes of every kernel that needs some: the twins of the ``se_..._scratch_bytes`` functions in C.

Each function takes the fields of the kernel's parameter struct by their names in ``runtime/se_kernels.h``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tinyformer.sparse_engine.kernels.calls import CCall

Params = Mapping[str, int]

WIDE_PIXELS = 8  # SE_WIDE_PIXELS: outputs for which a weight is decoded once, with a wide strip
PIXELS = 4  # SE_PIXELS: the same with a narrow one


def strip_pixels(most: int, outputs: int) -> int:
    """Return how many outputs the first strip of a call serves, where there is room for ``most``."""
    if most == WIDE_PIXELS and outputs >= WIDE_PIXELS:
        return WIDE_PIXELS
    return PIXELS if outputs >= PIXELS else 1


def _strip_bytes(depth: int, outputs: int, block: int, most: int = PIXELS) -> int:
    """Bytes of int16 for the inputs of the outputs that are computed together, padded to whole blocks."""
    return -(-depth // block) * block * 2 * strip_pixels(most, outputs)


def _depth(p: Params, channels: int) -> int:
    return p["kernel_height"] * p["kernel_width"] * channels


def _window_strip(p: Params, channels: int, block: int) -> int:
    return _strip_bytes(_depth(p, channels), p["output_height"] * p["output_width"], block, p["pixels"])


def conv2d(p: Params) -> int:
    """Return the bytes of ``se_conv2d_s8``: a strip, and the rows of its windows where channels are not whole quads."""
    channels = p["input_channels"] // p["groups"]
    return _window_strip(p, channels, 4) + (_gathered(p, channels) if channels % 4 else 0)


def _gathered(p: Params, channels: int) -> int:
    pixels = strip_pixels(p["pixels"], p["output_height"] * p["output_width"])
    shared = p["dilation_x"] == 1 and p["stride_x"] < p["kernel_width"]
    columns = (pixels - 1) * p["stride_x"] * shared + p["kernel_width"]
    return p["kernel_height"] * columns * channels


def conv2d_block2(p: Params) -> int:
    """Return the bytes of ``se_conv2d_block2_s8``: a strip, the channels of each position padded to blocks of 2."""
    return _window_strip(p, -(-p["input_channels"] // 2) * 2, 2)


def conv2d_block4(p: Params) -> int:
    """Return the bytes of ``se_conv2d_block4_s8``: a strip, the channels of each position padded to blocks of 4."""
    return _window_strip(p, -(-p["input_channels"] // 4) * 4, 4)


def _rle4(strip: Callable[[Params], int]) -> Callable[[Params], int]:
    """Return the bytes of a kernel of packed distances: those of ``strip``, and room to unpack them."""
    return lambda p: strip(p) + p["unpacked_bytes"]


def _bitmap(strip: Callable[[Params], int]) -> Callable[[Params], int]:
    """Return the bytes of a kernel of bitmaps: those of ``strip``, room for distances, and the filters' counts."""
    return lambda p: strip(p) + p["unpacked_bytes"] + 2 * p.get("output_channels", p.get("output_features", 0))


def depthwise_conv2d(p: Params) -> int:
    """Return the bytes of the depthwise kernels: four channels' weights as blocks, and their input rows, each twice."""
    in_row = -(-p["kernel_width"] // 3)
    columns = (max(p["output_width"], 8) - 1) * p["stride_x"] + (3 * in_row - 1) * p["dilation_x"] + 1
    elements = 4 * 2 * p["kernel_height"] * -(-columns // 2) * 2
    return p["kernel_height"] * in_row * (4 * 12 + 4) + 4 * 20 + elements * 2


def linear(p: Params) -> int:
    """Return the bytes of ``se_linear_s8`` and ``se_linear_block4_s8``: a strip of quads."""
    return _strip_bytes(p["input_features"], p["rows"], 4, p["pixels"])


def linear_block2(p: Params) -> int:
    """Return the bytes of ``se_linear_block2_s8``: a strip of pairs."""
    return _strip_bytes(p["input_features"], p["rows"], 2, p["pixels"])


def matmul(p: Params) -> int:
    """Return the bytes of ``se_matmul_s8``: a strip of eight columns of b, their elements by twos."""
    return -(-p["depth"] // 2) * 8 * 4


def softmax(p: Params) -> int:  # noqa: ARG001 - one signature for every kernel
    """Return the bytes of ``se_softmax_s8``: the table of 256 exponentials."""
    return 256 * 4


def softmax_lazy(p: Params) -> int:  # noqa: ARG001 - one signature for all
    """Return the bytes of ``se_softmax_lazy_s8``: the table and a bitmap of 256 bits."""
    return 256 * 4 + 32


def layer_norm(p: Params) -> int:  # noqa: ARG001 - one signature for all
    """Return 0."""
    return 0


SCRATCH_BYTES: Mapping[str, Callable[[Params], int]] = MappingProxyType(
    {
        "se_conv2d_s8": conv2d,
        "se_conv2d_block2_s8": conv2d_block2,
        "se_conv2d_block4_s8": conv2d_block4,
        "se_depthwise_conv2d_s8": depthwise_conv2d,
        "se_depthwise_conv2d_block3_s8": depthwise_conv2d,
        "se_linear_s8": linear,
        "se_linear_block2_s8": linear_block2,
        "se_linear_block4_s8": linear,
        "se_conv2d_rle4_block2_s8": _rle4(conv2d_block2),
        "se_conv2d_rle4_block4_s8": _rle4(conv2d_block4),
        "se_conv2d_bitmap_block2_s8": _bitmap(conv2d_block2),
        "se_conv2d_bitmap_block4_s8": _bitmap(conv2d_block4),
        "se_depthwise_conv2d_bitmap_block3_s8": depthwise_conv2d,
        "se_linear_rle4_block2_s8": _rle4(linear_block2),
        "se_linear_rle4_block4_s8": _rle4(linear),
        "se_linear_bitmap_block2_s8": _bitmap(linear_block2),
        "se_linear_bitmap_block4_s8": _bitmap(linear),
        "se_matmul_s8": matmul,
        "se_softmax_s8": softmax,
        "se_softmax_lazy_s8": softmax_lazy,
        "se_layer_norm_s8": layer_norm,
    }
)


def scratch_bytes(call: CCall) -> int:
    """Return the scratch bytes of one call of a C function."""
    rule = SCRATCH_BYTES.get(call.symbol)
    return 0 if rule is None else rule({name: value for name, value in call.params if isinstance(value, int)})
