"""What the model's input bytes stand for, for people and for firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinyformer.data import Dataset
from tinyformer.data.dataset import BYTE_RANGE
from tinyformer.data.scaling import HALF_STEPS, ByteScaling
from tinyformer.pipeline.context import RunContext
from tinyformer.pipeline.folder import write_text

_HEADER = """\
/* Real features as the input of {name}_run(): the scaling of the training data, {low:g} .. {high:g} as 0 .. 255,
 * minus 128. To the bit what the data was trained with: no sum follows a product, so a compiler can fuse nothing. */
#ifndef {upper}_FEATURES_H
#define {upper}_FEATURES_H

#include <stdint.h>

#define {upper}_FEATURE_LOW {low_literal}
#define {upper}_FEATURE_HIGH {high_literal}
#define {upper}_FEATURE_HALF_STEPS_PER_UNIT {gain_literal}

static inline int8_t {name}_feature(float value)
{{
    float half_steps = (value - {upper}_FEATURE_LOW) * {upper}_FEATURE_HALF_STEPS_PER_UNIT;

    half_steps = half_steps > 0.0f ? half_steps : 0.0f;
    half_steps = half_steps < {limit:.1f}f ? half_steps : {limit:.1f}f;
    return (int8_t)((((int32_t)half_steps + 1) >> 1) - 128);
}}

#endif
"""


def input_summary(data: Dataset) -> dict[str, Any]:
    """Return what ``result.json`` says of the input: shape (H, W, C), and the real values of the bytes 0 and 255."""
    return {"shape": list(data.input_shape), "value_range": list(data.value_range), "bytes": "int8 = byte - 128"}


def header(name: str, scaling: ByteScaling) -> str:
    """Return a C header with a function that turns one real feature into one int8 input value."""
    return _HEADER.format(
        name=name,
        upper=name.upper(),
        low=scaling.low,
        high=scaling.high,
        low_literal=_literal(scaling.low),
        high_literal=_literal(scaling.high),
        gain_literal=_literal(scaling.gain),
        limit=HALF_STEPS,
    )


def write_header(run: RunContext) -> Path | None:
    """Write ``<name>_features.h`` into the run's folder; None where the data are bytes from the start."""
    if run.dataset.value_range == BYTE_RANGE:
        return None
    target = run.directory / f"{run.config.name}_features.h"
    write_text(target, header(run.config.name, ByteScaling(*run.dataset.value_range)))
    return target


def _literal(value: float) -> str:
    """Return a C literal that reads back as the same single-precision number."""
    digits = f"{np.float32(value):.9g}"
    text = digits if any(mark in digits for mark in ".e") else f"{digits}.0"
    return f"({text}f)" if value < 0 else f"{text}f"
