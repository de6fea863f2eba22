"""The program that computes a model with CMSIS-NN: sources, sizes of its scratch, image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from tinyformer.benchmarks.cmsis_nn.calls import Substitute, encoded_weights, substitutes, with_cmsis_nn_constants
from tinyformer.benchmarks.cmsis_nn.library import Library
from tinyformer.boards import Board, Memory
from tinyformer.sparse_engine import codegen, coding, emulator, kernels, memory, toolchain
from tinyformer.sparse_engine.codegen import Provenance, text
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import CCall, KernelCall
from tinyformer.sparse_engine.toolchain import port
from tinyformer.sparse_engine.toolchain.port import LINKER_SCRIPT

NAME = "cmsis"
_SIZES = "sizes"
_HEADER = "cmsis_nn_calls.h"
_SOURCES = (_HEADER, "cmsis_nn_calls.c")
_STRING_H = """/* What the library's headers need of a C library that the freestanding compiler does not bring. */
#ifndef STRING_H
#define STRING_H
#include <stddef.h>
void *memcpy(void *restrict destination, const void *restrict source, size_t bytes);
void *memmove(void *destination, const void *source, size_t bytes);
void *memset(void *destination, int value, size_t bytes);
#endif
"""
_SIZES_HEADER = """#ifndef SIZES_H
#define SIZES_H
#include <stdint.h>
#define SIZES_INPUT_BYTES 4
#define SIZES_OUTPUT_BYTES {bytes}
void sizes_run(const int8_t *input, int8_t *output);
#endif
"""
_C_LIBRARY: Mapping[str, Mapping[str, str]] = {"zig": {"libc/string.h": _STRING_H}, "gcc": {}}
"""Toolchain -> headers that it lacks."""
_WITH_SCRATCH = frozenset({"cn_convolve", "cn_depthwise", "cn_fully_connected", "cn_matmul", "cn_avg_pool"})
_ROOM = 1 << 24
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Program:
    """An image that runs a model on CMSIS-NN, and what it is made of.

    ``functions`` names CMSIS-NN's function by node, ``weight_bytes`` the weights of each; nodes that are not in
    ``functions`` are computed by the engine's kernels.
    """

    elf: Path
    board: Board
    calls: tuple[KernelCall, ...]
    functions: Mapping[str, str]
    arena_bytes: int


def roomy(board: Board) -> Board:
    """Return the board with memories in which every model fits: a dense model may not fit the real one."""
    flash, ram = (Memory(m.origin, max(m.size_bytes, _ROOM)) for m in (board.flash, board.ram))
    return replace(board, flash=flash, ram=ram)


def build(graph: Graph, board: Board, library: Library, compiler: str, directory: Path) -> Program:
    """Write, compile and link the program into an empty directory.

    Args:
        graph: a lowered graph with data.
        board: whose core and port; its memories are enlarged.
        library: the user's CMSIS-NN.
        compiler: "zig" or "gcc", for everything but the library.
        directory: where to.

    Raises:
        ToolchainError: the compiler is missing or failed, or the library does not fit the calls.
        EmulatorError: the program that asks for the sizes of scratch failed.
    """
    target = roomy(board)
    found = substitutes(graph)
    dense = {name: (options[0],) for name, options in coding.options(graph).items()}
    engine = kernels.select(graph, dense, board, "size")
    sizes = _scratch_bytes(found, target, library, compiler, directory / _SIZES)
    calls = tuple(_replaced(graph, call, found.get(call.node.name), sizes) for call in engine)
    converted = with_cmsis_nn_constants(graph, list(found))
    plan = memory.plan(converted, calls)
    own = {c.node.name: c.encoding for c in calls if c.encoding is not None and c.node.name not in found}
    encoded = dict(coding.encode(converted, own)) | dict(encoded_weights(converted, list(found)))
    provenance = Provenance("with CMSIS-NN", "", board.name, "dense")
    texts = codegen.emit(converted, calls, plan, encoded, NAME, provenance=provenance, headers=[_HEADER])
    elf = _link(texts, NAME, target, library, compiler, directory / NAME)
    functions = {name: substitute.function for name, substitute in found.items()}
    return Program(elf, target, calls, functions, plan.arena_bytes)


def _replaced(graph: Graph, call: KernelCall, substitute: Substitute | None, sizes: Mapping[str, int]) -> KernelCall:
    if substitute is None:
        return call
    encoding = call.encoding  # of weights: one byte each, in CMSIS-NN's order
    if encoding is not None:
        encoding = replace(encoding, nbytes=graph.tensors[call.node.inputs[1]].elements)
    scratch = sizes.get(call.node.name, 0)
    return KernelCall(call.node, (substitute.call,), encoding, scratch, f"CMSIS-NN: {substitute.function}")


def _scratch_bytes(
    found: Mapping[str, Substitute], board: Board, library: Library, compiler: str, directory: Path
) -> Mapping[str, int]:
    """Ask the library, on the emulated core, how much scratch each call needs."""
    asked = {name: s.call for name, s in found.items() if s.call.symbol in _WITH_SCRATCH}
    if not asked:
        return {}
    header = _SIZES_HEADER.format(bytes=4 * len(asked))
    lines = [
        f'#include "{_SIZES}.h"',
        f'#include "{_HEADER}"',
        "",
        f"void {_SIZES}_run(const int8_t *input, int8_t *output)",
    ]
    lines += ["{", "    int32_t *const sizes = (int32_t *)(void *)output;", "    (void)input;"]
    for index, call in enumerate(asked.values()):
        lines += ["    {", *_struct(call), f"    sizes[{index}] = {call.symbol}_scratch(&params);", "    }"]
    texts = {f"{_SIZES}.h": header, f"{_SIZES}.c": "\n".join([*lines, "}", ""])}
    elf = _link(texts, _SIZES, board, library, compiler, directory)
    ran = emulator.run(
        elf, board, np.zeros((1, 4), np.int8), name=_SIZES, output_bytes=4 * len(asked), timeout_s=_TIMEOUT_S
    )
    sizes = ran.outputs[0].view("<i4")
    return {name: max(0, int(size)) for name, size in zip(asked, sizes, strict=True)}


def _struct(call: CCall) -> Sequence[str]:
    initialisers = [f".{name} = {value}" for name, value in call.params]
    return text.constant_struct(str(call.params_type), "params", initialisers)


def _link(texts: Mapping[str, str], name: str, board: Board, library: Library, compiler: str, directory: Path) -> Path:
    """Compile generated texts, the runtime, the calls and the board's port with the library."""
    runtime = files("tinyformer.sparse_engine") / "runtime"
    room = files("tinyformer.benchmarks.cmsis_nn")
    sources = {f"runtime/{e.name}": e.read_text() for e in runtime.iterdir() if e.name.endswith((".c", ".h"))}
    sources |= {file: (room / file).read_text() for file in _SOURCES} | dict(texts) | dict(_C_LIBRARY[compiler])
    sources |= {f"port/{file}": content for file, content in port.files(board, name).items()}
    for file, content in sources.items():
        path = directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    c_files = [directory / file for file in sorted(sources) if file.endswith(".c")]
    includes = [directory, *sorted({path.parent for file in sources if (path := directory / file).parent != directory})]
    output = directory / f"{name}.elf"
    toolchain.find(compiler).build(
        [*c_files, library.archive], [*includes, library.include], directory / "port" / LINKER_SCRIPT, board.isa, output
    )
    return output
