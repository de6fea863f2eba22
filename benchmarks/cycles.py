"""Compare the estimated cycles with latencies that others measured on silicon.

    python benchmarks/cycles.py                    the recorded table, and where our own dense kernels stand
    python benchmarks/cycles.py --images DIR       estimate the cases anew from rebuilt images, DIR/<case>.elf
    python benchmarks/cycles.py --images DIR --record   and write them into silicon.json

silicon.json names the source of each figure and the public code behind it. That code is not here: an image is built
from it outside the repository, with ``net_run`` (``net_node_<i>`` for each layer), a bundle's port and start-up code
around it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinyformer import boards
from tinyformer.boards import Board, Isa, Memory
from tinyformer.sparse_engine import cycles, deployment, elf, emulator, latency
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.synthetic import GraphBuilder

RECORD = Path(__file__).parent / "silicon.json"
NRF5340 = Board(
    name="nrf5340-dk",
    title="nRF5340 DK (application core)",
    isa=Isa("cortex-m33", dsp=True, fpu="sp"),
    clock_hz=128_000_000,
    flash=Memory(0, 0x10_0000),
    ram=Memory(0x2000_0000, 0x8_0000),
    stack_bytes=4096,
    startup="generic",
    qemu_machine=None,
    memory_system="nrf5340",
)
TIMEOUT_S = 900.0


def board(name: str) -> Board:
    return NRF5340 if name == NRF5340.name else boards.load(name)


def rules_digest(target: Board) -> str:
    """Return a digest of the rules that an estimate rests on."""
    folder = files("tinyformer.sparse_engine.cycles")
    texts = [
        folder.joinpath("cores", f"{target.isa.core}.toml").read_bytes(),
        folder.joinpath("memories.toml").read_bytes(),
    ]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:16]


def estimated(case: dict[str, Any], image_path: Path) -> dict[str, Any]:
    """Return a case with the figures of an image: instructions and cycles, in all and for each layer with a figure."""
    target = board(case["board"])
    inputs = np.random.default_rng(0).integers(-128, 128, (1, case["input_bytes"])).astype(np.int8)
    emulation = emulator.run(
        image_path, target, inputs, name="net", output_bytes=case["output_bytes"], timeout_s=TIMEOUT_S
    )
    found = latency.estimate(elf.read(image_path), target, emulation)
    phases = {phase.phase: phase for phase in found.phases}
    layers = [{**layer, "cycles": phases[layer["node"]].cycles} for layer in case["layers"]]
    return {
        **case,
        "instructions": emulation.instructions,
        "cycles": found.cycles,
        "layers": layers,
        "rules": rules_digest(target),
    }


def milliseconds(count: int, case: dict[str, Any]) -> float:
    return 1000 * count / board(case["board"]).clock_hz


def report(cases: list[dict[str, Any]]) -> bool:
    """Print the table; tell whether every total lies in its core's documented band."""
    within = True
    print(f"{'case':60}{'core':14}{'measured':>11}{'estimated':>11}{'error':>8}")
    for case in cases:
        core = board(case["board"]).isa.core
        time = milliseconds(case["cycles"], case)
        error = time / case["measured_ms"] - 1
        band = cycles.accuracy(core).error_percent
        within = within and band is not None and abs(error) * 100 <= band
        print(f"{case['title']:60}{core:14}{case['measured_ms']:8.2f} ms{time:8.2f} ms{error:+8.1%}")
        if case["rules"] != rules_digest(board(case["board"])):
            print("    recorded with other rules: rebuild the image and record it again")
        for layer in case["layers"]:
            own, theirs = milliseconds(layer["cycles"], case), layer["measured_ms"]
            print(f"    {layer['name']:70}{theirs:8.2f} ms{own:8.2f} ms{own / theirs - 1:+8.1%}")
    return within


def resnet8() -> Graph:
    """The residual network of MLPerf Tiny's image classification: 12.5 MMAC, dense, with random weights."""
    b = GraphBuilder((32, 32, 3), seed=1, name="resnet8")

    def block(x: str, filters: int, stride: int) -> str:
        y = b.conv2d(x, filters, (3, 3), padding=(1, 1, 1, 1), stride=(stride, stride))
        y = b.conv2d(y, filters, (3, 3), padding=(1, 1, 1, 1))
        short = x if stride == 1 else b.conv2d(x, filters, (1, 1), stride=(stride, stride))
        return b.add(short, y)

    x = b.conv2d(b.input, 16, (3, 3), padding=(1, 1, 1, 1))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = block(x, filters, stride)
    x = b.avg_pool(x, (8, 8), (8, 8))
    return b.finish(b.softmax(b.linear(b.reshape(x, (64,)), 10)))


def own_kernels(record: dict[str, Any]) -> None:
    """Print what our dense kernels are estimated to take where a commercial engine's silicon figure is known."""
    print(f"\n{'our dense kernels, the same network':56}{'board':18}{'theirs':>11}{'ours est.':>11}{'cycles/MAC':>12}")
    for row in record["closed"]:
        with TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "bundle"
            compile_graph(resnet8(), row["board"], bundle, objective="speed")
            figures = deployment.profile(bundle)
        macs = sum(layer.macs for layer in figures.layers)
        assert figures.latency_ms_estimated is not None
        assert figures.cycles_estimated is not None
        print(
            f"{row['title']:56}{row['board']:18}{row['measured_ms']:8.2f} ms{figures.latency_ms_estimated:8.2f} ms"
            f"{figures.cycles_estimated / macs:12.2f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="directory of rebuilt images, <case>.elf")
    parser.add_argument("--record", action="store_true", help="write the new estimates into silicon.json")
    arguments = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    if arguments.images:
        images = {case["name"]: arguments.images / f"{case['name']}.elf" for case in record["cases"]}
        record["cases"] = [
            estimated(case, images[case["name"]]) if images[case["name"]].exists() else case for case in record["cases"]
        ]
    if arguments.record:
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    within = report(record["cases"])
    own_kernels(record)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
