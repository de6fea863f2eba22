"""A tiny hand-written bundle, so that toolchains and emulators are tested without the compiler.

Node 0 halves the input and adds one (through a kernel); node 1 multiplies by a 4 x 32 matrix (through the same file's
dot product). Every loop has a fixed length, so the instruction count does not depend on the input.
"""

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyformer.boards import Board
from tinyformer.sparse_engine.toolchain import port

NAME = "toy"
INPUT_BYTES, OUTPUT_BYTES, ARENA_BYTES = 32, 4, 256
WEIGHTS = np.random.default_rng(7).integers(-128, 128, (OUTPUT_BYTES, INPUT_BYTES)).astype(np.int8)

HEADER = f"""#ifndef TOY_H
#define TOY_H
#include <stdint.h>
#define TOY_INPUT_BYTES {INPUT_BYTES}
#define TOY_OUTPUT_BYTES {OUTPUT_BYTES}
#define TOY_LAYERS 2
void toy_run(const int8_t *input, int8_t *output);
#endif
"""

KERNELS_HEADER = """#include "se_port.h"
void toy_halve(const int8_t *input, int8_t *output, int32_t elements);
int32_t toy_dot(const int8_t *a, const int8_t *b, int32_t elements);
"""

KERNELS = """#include "toy_kernels.h"
void toy_halve(const int8_t *input, int8_t *output, int32_t elements)
{
    for (int32_t i = 0; i < elements; i++) {
        output[i] = (int8_t)((input[i] >> 1) + 1);
    }
}
int32_t toy_dot(const int8_t *a, const int8_t *b, int32_t elements)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < elements; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}
"""

MODEL = """#include "toy.h"
#include "toy_kernels.h"
extern const int8_t toy_weights[128];
static SE_ALIGNED(8) int8_t toy_arena[256];
static SE_NOINLINE void toy_node_0(const int8_t *input, int8_t *output)
{
    (void)output;
    toy_halve(input, toy_arena, 32);
}
static SE_NOINLINE void toy_node_1(const int8_t *input, int8_t *output)
{
    (void)input;
    {inserted}
    for (int32_t o = 0; o < 4; o++) {
        output[o] = (int8_t)(toy_dot(toy_arena, toy_weights + 32 * o, 32) >> 9);
    }
}
void toy_run(const int8_t *input, int8_t *output)
{
    toy_node_0(input, output);
    toy_node_1(input, output);
}
"""


def write(
    directory: Path, board: Board, *, inserted: str = "", model: str = MODEL, golden_input: bytes | None = None
) -> Path:
    """Write the bundle with C statements inserted at the start of node 1; return its directory."""
    for part in ("runtime", "port"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    with (files("tinyformer.sparse_engine") / "runtime" / "se_port.h").open("rb") as header:
        (directory / "runtime" / "se_port.h").write_bytes(header.read())
    (directory / "runtime" / "toy_kernels.h").write_text(KERNELS_HEADER)
    (directory / "runtime" / "toy_kernels.c").write_text(KERNELS)
    (directory / "toy.h").write_text(HEADER)
    (directory / "toy.c").write_text(model.replace("{inserted}", inserted))
    values = ", ".join(map(str, WEIGHTS.ravel()))
    (directory / "toy_weights.c").write_text(
        f"#include <stdint.h>\nextern const int8_t toy_weights[128];\nconst int8_t toy_weights[128] = {{{values}}};\n"
    )
    for name, text in port.files(board, NAME, golden_input=golden_input).items():
        (directory / "port" / name).write_text(text)
    return directory


def copy(source: Path, target: Path) -> Path:
    """Copy a bundle without its image."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("image")))


def halved(inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return what node 0 leaves in the arena, (N, 32)."""
    return ((inputs >> 1) + 1).astype(np.int8)


def outputs(inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return the model's outputs, (N, 4)."""
    return ((halved(inputs).astype(np.int32) @ WEIGHTS.T.astype(np.int32)) >> 9).astype(np.int8)


def inputs(count: int, seed: int = 0) -> npt.NDArray[np.int8]:
    """Return random inputs, (count, 32)."""
    return np.random.default_rng(seed).integers(-128, 128, (count, INPUT_BYTES)).astype(np.int8)
