"""Compare inner loops of our kernels with llvm-mca, LLVM's own model of the Cortex-M7.

    python benchmarks/llvm_mca.py            print the table and write it, with llvm-mca's version, to llvm_mca.json

Needs llvm-mca on the PATH (Debian: llvm). It models no memory and no branch prediction; loops with IT blocks, which it
does not know, are left out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tinyformer import boards
from tinyformer.sparse_engine import cycles, deployment, elf
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.cycles.estimate import cycles_of_loop
from tinyformer.sparse_engine.cycles.flow import CodeBlock, read_blocks
from tinyformer.sparse_engine.cycles.operation import Decoder
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.synthetic import GraphBuilder

RECORD = Path(__file__).parent / "llvm_mca.json"
BOARD = "stm32f746g-disco"
ITERATIONS = 200
LOOPS = 16
MCA = shutil.which("llvm-mca") or "llvm-mca"
COMMAND = (MCA, "-mtriple=thumbv7em-none-eabihf", "-mcpu=cortex-m7", f"-iterations={ITERATIONS}")


def layers() -> Graph:
    """One layer of each kernel with a hot loop."""
    b = GraphBuilder((16, 16, 16), seed=2, name="layers")
    x = b.conv2d(b.input, 32, (3, 3), padding=(1, 1, 1, 1))
    x = b.conv2d(x, 32, (3, 3), padding=(1, 1, 1, 1), sparsity=0.75, block=4)
    x = b.conv2d(x, 32, (1, 1), sparsity=0.75, block=2)
    x = b.depthwise(x, (3, 3), padding=(1, 1, 1, 1))
    x = b.max_pool(b.add(x, x), (2, 2), (2, 2))
    x = b.layer_norm(b.linear(b.reshape(x, (64, 32)), 32))
    x = b.matmul(b.softmax(b.matmul(x, x, transpose_b=True)), x)
    return b.finish(b.lookup(x))


def hot_loops(directory: Path) -> Iterator[tuple[str, CodeBlock]]:
    """Yield the blocks that follow themselves, those with most instructions first, with their functions."""
    compiled = compile_graph(layers(), BOARD, directory, objective="speed")
    emulation = deployment.run(compiled.directory, compiled.manifest, deployment.golden_inputs(compiled.directory))
    image = elf.read(deployment.image_path(compiled.directory, compiled.manifest))
    blocks = read_blocks(emulation.profile, Decoder(image), cycles.load(boards.load(BOARD).isa.core))
    found = {block.address: block for block in blocks if block.before.get(block.address)}
    for block in sorted(found.values(), key=lambda b: -b.before[b.address] * len(b.steps)):
        function = image.function_at(block.address)
        yield "" if function is None else function.name, block


def llvm_cycles(block: CodeBlock) -> float | None:
    """Return llvm-mca's cycles of an iteration; None where it does not know an instruction."""
    lines = [step.operation.text for step in block.steps]
    lines[-1] = re.sub(r"#0x[0-9a-f]+$", "loop", lines[-1])
    source = "\n".join((".syntax unified", ".thumb", "loop:", *lines, ""))
    result = subprocess.run(COMMAND, input=source, capture_output=True, text=True, check=False)
    total = re.search(r"Total Cycles:\s+(\d+)", result.stdout)
    return None if total is None else int(total[1]) / ITERATIONS


def main() -> int:
    stated = subprocess.run((MCA, "--version"), capture_output=True, text=True, check=True).stdout
    version = re.search(r"LLVM version \S+", stated)
    core = cycles.load("cortex-m7")
    rows = []
    with TemporaryDirectory() as scratch:
        for function, block in hot_loops(Path(scratch) / "bundle"):
            theirs = llvm_cycles(block)
            if theirs is not None:
                ours = cycles_of_loop(block, core)
                row = {"function": function, "instructions": len(block.steps), "cycles": ours, "llvm_mca": theirs}
                rows.append(row)
                print(f"{function:36}{len(block.steps):4} instructions{ours:8.2f} ours{theirs:8.2f} llvm-mca")
            if len(rows) == LOOPS:
                break
    ratio = sum(row["cycles"] for row in rows) / sum(row["llvm_mca"] for row in rows)
    print(f"all loops, one iteration each: {ratio - 1:+.1%}")
    record = {"llvm_mca": version[0] if version else "unknown", "board": BOARD, "loops": rows}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
