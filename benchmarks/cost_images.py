"""Images of many layers: built, emulated, and what every node of them takes."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from cost_layers import INPUT_BYTES, LAYERS, Cuts

from tinyformer.boards import Board, Isa, Memory
from tinyformer.sparse_engine import codegen, coding, cost, cycles, elf, emulator, kernels, memory, toolchain
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.cycles import Demand
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import KernelCall
from tinyformer.sparse_engine.kernels.catalogue import DENSE
from tinyformer.sparse_engine.memory import MemoryPlan
from tinyformer.sparse_engine.toolchain import image, port

NAME = "bench"
ISAS = {
    "cortex-m7": Isa("cortex-m7", dsp=True, fpu="sp"),
    "cortex-m0plus": Isa("cortex-m0plus", dsp=False, fpu="none"),
    "cortex-m3": Isa("cortex-m3", dsp=False, fpu="none"),
    "cortex-m4": Isa("cortex-m4", dsp=True, fpu="sp"),
    "cortex-m33": Isa("cortex-m33", dsp=True, fpu="sp"),
    "cortex-m33-nodsp": Isa("cortex-m33", dsp=False, fpu="none"),
}
"""Table -> the instruction set that it is fitted on."""

MEMORY_SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "cortex-m4": ("stm32l4r5",),
    "cortex-m7": ("stm32f746",),
    "cortex-m33": ("nrf5340",),
}
"""Core -> the memory systems whose instruction caches its table knows; one that a board names must be here."""

ENCODINGS = {
    kernel.symbol: kernel.encoding for rows in kernels.CATALOGUE.values() for kernel in rows if kernel.encoding
}
"""Kernel -> the (encoding, block) of the weights that it reads."""


def board(isa: Isa, startup: str = "generic") -> Board:
    """Return a board with room for everything."""
    flash, ram = Memory(0x0800_0000, 0x100_0000), Memory(0x2000_0000, 0x80_0000)
    return Board(NAME, "benchmark", isa, 100_000_000, flash, ram, 8192, startup, None)


@dataclass(frozen=True)
class Model:
    """A graph whose weighted nodes use the encoding that their kernel under test reads.

    ``tested`` maps the outputs of the layers under test to their kernel.
    """

    graph: Graph
    calls: tuple[KernelCall, ...]
    tested: Mapping[str, str]
    plan: MemoryPlan

    @classmethod
    def of(cls, b: Cuts, output: str, tested: Mapping[str, str], target: Board) -> Model:
        graph = b.finish(output)
        found = coding.options(graph)
        forced: dict[str, tuple[Option, ...]] = {}
        calls = []
        for node in graph.nodes:
            encoding = ENCODINGS.get(tested.get(node.output, ""), DENSE)
            if node.name in found:
                forced[node.name] = tuple(o for o in found[node.name] if (o.encoding, o.block) == encoding)
        for softmax in ("table", "lazy"):
            selected = kernels.select(graph, forced, target, softmax=softmax)
            calls.append({call.node.name: call for call in selected})
            if softmax == "lazy":
                lazy = {node.name for node in graph.nodes if tested.get(node.output) == "se_softmax_lazy_s8"}
                calls[0] |= {name: calls[1][name] for name in lazy}
        chosen = tuple(calls[0].values())
        return cls(graph, chosen, tested, memory.plan(graph, chosen))


@cache
def workspace() -> Path:
    """Return this process's directory for images: always the same, so that the compiler's cache knows the runtime."""
    directory = Path(tempfile.mkdtemp(prefix="fit_cost-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def build(model: Model, target: Board) -> Path:
    """Compile a model and return its ELF file, which the next one replaces."""
    directory = workspace()
    shutil.rmtree(directory / "port", ignore_errors=True)  # boards differ in the files of their ports
    choice = {call.node.name: call.encoding for call in model.calls if call.encoding is not None}
    provenance = codegen.Provenance("0", "", target.name, "size")
    encoded = coding.encode(model.graph, choice)
    texts = codegen.emit(model.graph, model.calls, model.plan, encoded, NAME, provenance=provenance)
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
class NodeMeasured:
    """One node: its instructions, the core's cycles, bytes loaded by place, lines fetched by memory system."""

    instructions: int
    cycles: float
    loads: Mapping[cost.Place, float]
    fetched_lines: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """A model with what every node takes, and the bytes of its code; the overhead is all that is in no node."""

    model: Model
    nodes: tuple[NodeMeasured, ...]
    overhead_instructions: int
    overhead_cycles: float
    node_bytes: tuple[int, ...]
    run_bytes: int

    def tested(self) -> Iterator[tuple[KernelCall, NodeMeasured]]:
        """Yield every node under test."""
        for call, measured in zip(self.model.calls, self.nodes, strict=True):
            if call.node.output in self.model.tested:
                yield call, measured


def measure(model: Model, target: Board) -> Measured:
    """Build and run a model."""
    path = build(model, target)
    inputs = np.random.default_rng(7).integers(-128, 128, (1, INPUT_BYTES)).astype(np.int8)
    ran = emulator.run(path, target, inputs, name=NAME, output_bytes=8, timeout_s=600.0)
    built = elf.read(path)
    core, flash = cycles.load(target.isa.core), (target.flash.origin, target.flash.end)
    blocks = cycles.read_blocks(ran.profile, cycles.Decoder(built), core)
    phases = {phase.phase: phase.core_cycles for phase in cycles.estimate_blocks(blocks, core, None, flash).phases}
    asked = cycles.demands(blocks, flash)
    systems = [cycles.load_memory(name) for name in MEMORY_SYSTEMS.get(target.isa.core, ())]
    arena = built.symbol(f"{NAME}_arena").address
    nodes = tuple(
        NodeMeasured(
            instructions,
            phases[index],
            loads(asked[index], index, model.plan, arena, target),
            {system.name: asked[index].fetched_lines(system) for system in systems},
        )
        for index, instructions in enumerate(ran.layer_instructions)
    )
    sizes = tuple(built.symbol(f"{NAME}_node_{i}").size for i in range(len(model.calls)))
    run_bytes = built.symbol(f"{NAME}_run").size
    return Measured(model, nodes, ran.overhead_instructions, phases[emulator.OVERHEAD], sizes, run_bytes)


def loads(asked: Demand, node: int, plan: MemoryPlan, arena: int, target: Board) -> dict[cost.Place, float]:
    """Return the bytes that a node loads, by where from; what it spills to the stack is left out."""
    scratch = [p for p in plan.placements if p.kind == "scratch" and p.first <= node <= p.last]
    found: dict[cost.Place, float] = {
        "flash": sum(item.nbytes for item in asked.from_flash),
        "tensors": 0,
        "scratch": 0,
    }
    for item in asked.from_ram:
        if item.first >= target.ram.origin + target.stack_bytes:
            own = any(place.offset <= item.first - arena < place.end for place in scratch)
            found["scratch" if own else "tensors"] += item.nbytes
    return found
