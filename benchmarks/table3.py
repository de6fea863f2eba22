"""The paper's Table III: LayerNorm in single precision and scaled to integers, accuracy and instructions.

    python benchmarks/table3.py --run RUN [--images N] [--toolchain zig|gcc]

RUN is a directory that `tinyformer run` wrote. Its model is built for this machine twice, once with layer_norm_fp32.c
in the place of the runtime's kernel, and both classify the first N validation images. The instructions are those of the
two kernels on the emulated Cortex-M7, with and without FPU. Writes table3.json. Without --run the accuracies stay.
"""

from __future__ import annotations

import argparse
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import recording

from tinyformer import boards, data
from tinyformer.boards import Isa
from tinyformer.sparse_engine import compiler, deployment, elf, emulator, host, toolchain
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.synthetic import GraphBuilder
from tinyformer.sparse_engine.toolchain import image

KERNEL = "se_layer_norm.c"
FLOAT = recording.HERE / "layer_norm_fp32.c"
SHAPES = ((256, 44), (64, 192))
NAME = "norm"


def count(shape: tuple[int, int], compiler_name: str, fpu: str | None) -> int:
    """Return the instructions of a LayerNorm; with ``fpu`` (none or sp) of the single-precision one."""
    board = boards.load(recording.BOARD)
    if fpu is not None:
        board = replace(board, isa=Isa(board.isa.core, board.isa.dsp, fpu))
    b = GraphBuilder(shape, seed=1)
    graph = b.finish(b.layer_norm(b.input))
    with TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        compiler.compile_graph(graph, board, bundle, name=NAME, toolchain=compiler_name)
        path = bundle / "image" / f"{NAME}.elf"
        if fpu is not None:
            shutil.copy(FLOAT, bundle / "runtime" / KERNEL)
            image.link(bundle, bundle / "port", board, toolchain.find(compiler_name), NAME, path)
            assert elf.read(path).symbol("se_layer_norm_s8").size
        samples = deployment.golden_inputs(bundle)
        manifest = Manifest.load(bundle)
        flat = samples.reshape(len(samples), -1)
        ran = emulator.run(path, board, flat, name=NAME, output_bytes=manifest.output.nbytes, timeout_s=300.0)
        difference = np.abs(ran.outputs.astype(int) - np.load(bundle / "golden" / "outputs.npy").reshape(len(flat), -1))
        assert difference.max() <= 1, "two LayerNorms of one meaning"
    return ran.layer_instructions[0]


def accuracies(run: Path, images: int) -> dict[str, Any]:
    """Return the accuracy of a run's compiled model with either LayerNorm, on validation images."""
    settings = tomllib.loads((run / "run.toml").read_text())
    options = {name: value for name, value in settings["data"].items() if name in {"grayscale", "validation_fraction"}}
    dataset = data.load(settings["data"]["name"], seed=settings["seed"], **options)
    chosen = dataset.x_val[:images]
    labels = dataset.y_val[: len(chosen)]
    inputs = np.ascontiguousarray(np.moveaxis(chosen, -1, 1))
    with TemporaryDirectory() as scratch:
        changed = Path(scratch) / "bundle"
        shutil.copytree(run / "bundle", changed)
        shutil.copy(FLOAT, changed / "runtime" / KERNEL)
        outputs = [host.load(directory)(inputs) for directory in (changed, run / "bundle")]
    classes = [output.reshape(len(output), -1).argmax(1) for output in outputs]
    manifest = Manifest.load(run / "bundle")
    return {
        "model": manifest.name,
        "model_sha256": manifest.model_sha256,
        "data": settings["data"]["name"],
        "images": len(chosen),
        "split": "validation",
        "layer_norms": sum(layer.op == "layer_norm" for layer in manifest.layers),
        "fp32": round(float((classes[0] == labels).mean()), 4),
        "scaled": round(float((classes[1] == labels).mean()), 4),
        "same_class": round(float((classes[0] == classes[1]).mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="RUN")
    parser.add_argument("--images", type=int, default=1000, metavar="N")
    parser.add_argument("--toolchain", default="zig", choices=list(toolchain.TOOLCHAINS))
    arguments = parser.parse_args()
    before = recording.recorded("table3")
    rows = []
    for shape in SHAPES:
        scaled = count(shape, arguments.toolchain, None)
        with_fpu, without = (count(shape, arguments.toolchain, fpu) for fpu in ("sp", "none"))
        elements = shape[0] * shape[1]
        rows.append(
            {
                "shape": list(shape),
                "scaled": scaled,
                "fp32_with_fpu": with_fpu,
                "fp32_without_fpu": without,
                "scaled_per_element": round(scaled / elements, 2),
                "ratio_with_fpu": round(with_fpu / scaled, 2),
                "ratio_without_fpu": round(without / scaled, 2),
            }
        )
        print(rows[-1])
    accuracy = before.get("accuracy") if arguments.run is None else accuracies(arguments.run, arguments.images)
    print(accuracy)
    record = {
        "command": "python benchmarks/table3.py --run RUN",
        "toolchain": arguments.toolchain,
        "paper": "96.11 % in float, 96.10 % scaled; 38.8 and 52 times faster (Table III)",
        "accuracy": accuracy,
        "instructions": rows,
    }
    recording.write("table3", record, arguments.toolchain)


if __name__ == "__main__":
    main()
