"""Fit the cost tables of src/tinyformer/sparse_engine/cost/tables on the emulated cores.

    python benchmarks/fit_cost.py [--core cortex-m7 ...] [--kernel se_linear_s8 ...] [--check]

For each core, images hold several hundred layers of random shapes, some for every kernel; the emulator counts the
instructions of each. A linear model per kernel is fitted on the counts of its loops (cost/features.py), minimising
relative errors with non-negative coefficients; one more image with other shapes tells the error. Bytes of code come
from images of one layer each. With --check nothing is written: the present tables are tried on the last image.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
from cost_layers import INPUT_BYTES, LAYERS, Constants, Cuts
from scipy.optimize import nnls

from tinyformer.boards import Board, Isa, Memory
from tinyformer.sparse_engine import codegen, coding, cost, elf, emulator, kernels, memory, toolchain
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.cost.model import constant_bytes
from tinyformer.sparse_engine.elf import ElfImage
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import KernelCall
from tinyformer.sparse_engine.toolchain import image, port

NAME = "bench"
CASES = 15  # of every kernel in one image
FIT_SEEDS, CHECK_SEED = (1, 2, 3, 4), 5
TABLES = Path(str(files("tinyformer.sparse_engine.cost"))) / "tables"
ISAS = {
    "cortex-m0plus": Isa("cortex-m0plus", dsp=False, fpu="none"),
    "cortex-m3": Isa("cortex-m3", dsp=False, fpu="none"),
    "cortex-m4": Isa("cortex-m4", dsp=True, fpu="sp"),
    "cortex-m7": Isa("cortex-m7", dsp=True, fpu="sp"),
    "cortex-m33": Isa("cortex-m33", dsp=True, fpu="sp"),
}
STARTUPS_OF = {
    "cortex-m4": ("generic", "stm32l4r5"),
    "cortex-m7": ("generic", "mps2", "stm32f746"),
    "cortex-m33": ("generic", "rp2350"),
}


def board(isa: Isa, startup: str = "generic") -> Board:
    """Return a board with room for everything."""
    flash, ram = Memory(0x0800_0000, 0x100_0000), Memory(0x2000_0000, 0x80_0000)
    return Board(NAME, "benchmark", isa, 100_000_000, flash, ram, 8192, startup, None)


CODES = {"rle4": "block_rle4", "bitmap": "block_bitmap"}


def encoding_of(symbol: str) -> tuple[str, int]:
    """Return the (encoding, block) that a kernel reads."""
    before, _, after = symbol.partition("_block")
    if not after:
        return "dense", 1
    return CODES.get(before.rpartition("_")[2], "block_rle"), int(after.partition("_")[0])


# ---- building and measuring ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A graph whose weighted nodes use the encoding that their kernel under test reads.

    ``tested`` maps the outputs of the layers under test to their kernel.
    """

    graph: Graph
    calls: tuple[KernelCall, ...]
    tested: Mapping[str, str]

    @classmethod
    def of(cls, b: Cuts, output: str, tested: Mapping[str, str], target: Board) -> Model:
        graph = b.finish(output)
        found = coding.options(graph)
        forced: dict[str, tuple[Option, ...]] = {}
        calls = []
        for node in graph.nodes:
            wanted = encoding_of(tested.get(node.output, ""))
            if node.name in found:
                forced[node.name] = tuple(o for o in found[node.name] if (o.encoding, o.block) == wanted)
        for softmax in ("table", "lazy"):
            selected = kernels.select(graph, forced, target, softmax=softmax)
            calls.append({call.node.name: call for call in selected})
            if softmax == "lazy":
                lazy = {node.name for node in graph.nodes if tested.get(node.output) == "se_softmax_lazy_s8"}
                calls[0] |= {name: calls[1][name] for name in lazy}
        return cls(graph, tuple(calls[0].values()), tested)


def build(model: Model, target: Board, directory: Path) -> Path:
    """Compile a model and return its ELF file."""
    plan = memory.plan(model.graph, model.calls)
    choice = {call.node.name: call.encoding for call in model.calls if call.encoding is not None}
    provenance = codegen.Provenance("0", "", target.name, "size")
    encoded = coding.encode(model.graph, choice)
    texts = codegen.emit(model.graph, model.calls, plan, encoded, NAME, provenance=provenance)
    runtime = files("tinyformer.sparse_engine") / "runtime"
    sources = {f"runtime/{e.name}": e.read_text() for e in runtime.iterdir() if e.name.endswith((".c", ".h"))}
    sources |= texts | {f"port/{name}": text for name, text in port.files(target, NAME).items()}
    for name, text in sources.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    output = directory / "bench.elf"
    image.link(directory, directory / "port", target, toolchain.find("zig"), NAME, output)
    return output


def zoo(seed: int, target: Board, symbols: Sequence[str], cases: int) -> Model:
    """Return a model with ``cases`` random layers of each kernel."""
    rng = np.random.default_rng(seed)
    b = Cuts((INPUT_BYTES,), seed=seed)
    tested: dict[str, str] = {}
    for symbol in symbols:
        for _ in range(cases):
            tested[LAYERS[symbol](b, rng)] = symbol
    last = b.slice(b.input, (0,), (8,), (1,))
    return Model.of(b, last, tested, target)


@dataclass(frozen=True)
class Measured:
    """A model with the instructions and code bytes of every node."""

    model: Model
    instructions: tuple[int, ...]
    overhead: int
    node_bytes: tuple[int, ...]
    run_bytes: int


def measure(model: Model, target: Board) -> Measured:
    """Build and run a model."""
    with tempfile.TemporaryDirectory() as directory:
        path = build(model, target, Path(directory))
        inputs = np.random.default_rng(7).integers(-128, 128, (1, INPUT_BYTES)).astype(np.int8)
        ran = emulator.run(path, target, inputs, name=NAME, output_bytes=8, timeout_s=600.0)
        built = elf.read(path)
    sizes = tuple(built.symbol(f"{NAME}_node_{i}").size for i in range(len(model.calls)))
    run_bytes = built.symbol(f"{NAME}_run").size
    return Measured(model, ran.layer_instructions, ran.overhead_instructions, sizes, run_bytes)


def samples(images: Sequence[Measured], symbol: str) -> Iterator[tuple[Mapping[str, float], int]]:
    """Yield (counts, instructions) of the nodes that call one kernel only."""
    for call, instructions in nodes(images):
        if {c.symbol for c in call.calls} == {symbol}:
            total: dict[str, float] = {}
            for c in call.calls:
                for name, count in cost.counts(c, call.encoding).items():
                    total[name] = total.get(name, 0.0) + count
            yield total, instructions


def nodes(images: Sequence[Measured]) -> Iterator[tuple[KernelCall, int]]:
    """Yield every node under test with its instructions."""
    for measured in images:
        for call, instructions in zip(measured.model.calls, measured.instructions, strict=True):
            if call.node.output in measured.model.tested:
                yield call, instructions


def fit(rows: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """Return non-negative coefficients of least relative error."""
    names = sorted({name for counts, _ in rows for name in counts})
    matrix = np.array([[counts.get(name, 0.0) / real for name in names] for counts, real in rows])
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1
    solution, _ = nnls(matrix / scale, np.ones(len(rows)), maxiter=100 * len(names))
    return {name: float(f"{value:.6g}") for name, value in zip(names, solution / scale, strict=True)}


def fit_padding(images: Sequence[Measured], known: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Fit the fill on what padding takes beside its move."""
    rows = []
    for call, instructions in nodes(images):
        if [c.symbol for c in call.calls] == ["se_fill_s8", "se_move_s8"]:
            moved = predict(known["se_move_s8"], cost.counts(call.calls[1], None))
            rows.append((cost.counts(call.calls[0], None), max(1, instructions - round(moved))))
    return fit(rows)


def predict(coefficients: Mapping[str, float], counts: Mapping[str, float]) -> float:
    return sum(coefficients.get(name, 0.0) * count for name, count in counts.items())


# ---- code bytes ------------------------------------------------------------------------------------------------------


def flash_symbols(built: ElfImage, target: Board) -> dict[str, int]:
    """Return every function and constant in flash that is not the model's.

    A symbol's size is part of its name, because files may have static functions of one name; aliases count once. The
    port's main is left to the base: its size depends on the number of outputs.
    """
    found = {}
    for symbol in (*built.functions, *built.objects):
        own = symbol.name == "main" or symbol.name.startswith(f"{NAME}_")
        if target.flash.contains(symbol.address) and symbol.size and not own:
            found[symbol.address] = (f"{symbol.name} {symbol.size}", symbol.size)
    return dict(found.values())


def single(symbol: str, target: Board) -> Model:
    """Return a model of one layer that uses a kernel."""
    for seed in range(200):
        b = Constants((8,))
        output = LAYERS[symbol](b, np.random.default_rng(seed))
        model = Model.of(b, output, {output: symbol}, target)
        if symbol == model.calls[-1].calls[0].symbol:
            break
    return model


def code(target: Board, symbols: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return symbol -> functions that come with it -> bytes."""
    found = {symbol: flash_symbols(inspect(single(symbol, target), target), target) for symbol in symbols}
    always = set.intersection(*(set(names) for names in found.values()))
    return {s: {n: size for n, size in names.items() if n not in always} for s, names in found.items()}


def inspect(model: Model, target: Board) -> ElfImage:
    """Build a model and return its image."""
    with tempfile.TemporaryDirectory() as directory:
        return elf.read(build(model, target, Path(directory)))


def startup_cost(target: Board, functions: Mapping[str, Mapping[str, int]]) -> cost.StartupCost:
    """Return what an image takes beside its nodes, on a classifier of ten classes."""
    b = Constants((64,))
    output = b.linear(b.input, 10)
    model = Model.of(b, output, {output: "se_linear_s8"}, target)
    built = inspect(model, target)
    own = sum(s.size for s in built.functions if s.name.startswith(f"{NAME}_"))
    own += sum(constant_bytes(model.graph, call) for call in model.calls)
    own += sum(functions["se_linear_s8"].values())
    borders = sum(-(-model.graph.tensors[n].nbytes // 8) * 8 for n in (model.graph.input, model.graph.output))
    arena = memory.plan(model.graph, model.calls).arena_bytes
    return cost.StartupCost(built.flash_bytes - own, built.ram_static_bytes - arena - borders)


def runtime_digest() -> str:
    runtime = files("tinyformer.sparse_engine") / "runtime"
    digest = hashlib.sha256()
    for entry in sorted(runtime.iterdir(), key=lambda e: e.name):
        if entry.name.endswith((".c", ".h")):
            digest.update(entry.name.encode() + entry.read_bytes())
    return digest.hexdigest()[:16]


# ---- the tables ------------------------------------------------------------------------------------------------------


def fit_core(core: str) -> cost.CostTable:
    """Measure one core and return its table."""
    target = board(ISAS[core])
    symbols = [symbol for symbol in LAYERS if symbol != "se_fill_s8"]
    images = [measure(zoo(seed, target, symbols, CASES), target) for seed in FIT_SEEDS]
    instructions = {symbol: fit(list(samples(images, symbol))) for symbol in symbols}
    instructions["se_fill_s8"] = fit_padding(images, instructions)
    functions = code(target, list(LAYERS))
    startups = {name: startup_cost(board(ISAS[core], name), functions) for name in STARTUPS_OF.get(core, ("generic",))}
    measured = images[0]
    node_bytes = bytes_of_nodes(measured)
    node_bytes["se_fill_s8"] = node_bytes["se_lookup_s8"] // 2
    return cost.CostTable(
        provenance={
            "command": f"python benchmarks/fit_cost.py --core {core}",
            "toolchain": f"zig {version('ziglang')}",
            "emulator": f"unicorn {version('unicorn')}",
            "runtime_sha256": runtime_digest(),
        },
        instructions=instructions,
        functions=functions,
        node_bytes=node_bytes,
        run_instructions=float(f"{measured.overhead / len(measured.model.calls):.3g}"),
        startups=startups,
    )


def bytes_of_nodes(measured: Measured) -> dict[str, int]:
    """Return symbol -> bytes of code around one call."""
    per_node = round(measured.run_bytes / len(measured.model.calls))
    by_symbol: dict[str, list[int]] = {}
    for call, size in zip(measured.model.calls, measured.node_bytes, strict=True):
        if len(call.calls) == 1:
            by_symbol.setdefault(call.symbol, []).append(size)
    return {symbol: round(float(np.mean(sizes))) + per_node for symbol, sizes in by_symbol.items()}


def fit_kernels(core: str, table: cost.CostTable, symbols: Sequence[str]) -> cost.CostTable:
    """Return a table with the rows of some kernels fitted."""
    target = board(ISAS[core])
    images = [measure(zoo(seed, target, symbols, CASES), target) for seed in FIT_SEEDS]
    # beside others, so that what comes with every image is told from what comes with these
    functions = code(target, [*symbols, "se_lookup_s8", "se_softmax_s8"])
    sizes = bytes_of_nodes(images[0])
    return replace(
        table,
        instructions=dict(table.instructions) | {symbol: fit(list(samples(images, symbol))) for symbol in symbols},
        functions=dict(table.functions) | {symbol: functions[symbol] for symbol in symbols},
        node_bytes=dict(table.node_bytes) | {symbol: sizes[symbol] for symbol in symbols},
    )


def report(core: str, table: cost.CostTable, symbols: Sequence[str]) -> None:
    """Print the errors on layers that were not fitted."""
    target = board(ISAS[core])
    images = [measure(zoo(CHECK_SEED, target, symbols, CASES), target)]
    print(f"{core}: relative error on other shapes (mean, worst)")
    for symbol in symbols:
        errors = [abs(predict(table.instructions[symbol], c) / n - 1) for c, n in samples(images, symbol)]
        print(f"  {symbol:32} {np.mean(errors):7.2%} {np.max(errors):7.2%}  ({len(errors)} layers)")
    predicted = sum(round(cost.instructions(call, table)) for call, _ in nodes(images))
    print(f"  {'all':32} {predicted / sum(n for _, n in nodes(images)) - 1:+7.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", nargs="*", default=list(ISAS), choices=list(ISAS))
    parser.add_argument("--check", action="store_true")
    kernels_with_layers = [symbol for symbol in LAYERS if symbol != "se_fill_s8"]
    parser.add_argument("--kernel", nargs="*", default=[], choices=kernels_with_layers, metavar="SYMBOL")
    arguments = parser.parse_args()
    for core in arguments.core:
        path = TABLES / f"{core}.json"
        if not arguments.check:
            table = (
                fit_kernels(core, cost.CostTable.parse(path.read_text()), arguments.kernel)
                if arguments.kernel
                else fit_core(core)
            )
            table.save(path)
        report(core, cost.CostTable.parse(path.read_text()), arguments.kernel or kernels_with_layers)


if __name__ == "__main__":
    main()
