"""The paper's Table III: LayerNorm in single precision and scaled to integers, accuracy and instructions.

    python benchmarks/table3.py [--images N] [--toolchain zig|gcc]

Every model that ships is built for this machine twice, once with layer_norm_fp32.c in the place of the runtime's
kernel, and both classify the test images. The instructions are those of the two kernels on the emulated Cortex-M7, with
and without FPU. Writes table3.json.
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

from tinyformer import boards, data, models
from tinyformer.boards import Isa
from tinyformer.models import ShippedModel
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


def accuracy(model: ShippedModel, images: int | None) -> dict[str, Any]:
    """Return the accuracy of a model's compiled C with either LayerNorm, on the first test images."""
    settings = tomllib.loads((model.directory / "run.toml").read_text(encoding="utf-8"))
    dataset = data.load(settings["data"]["name"])
    inputs, labels = np.ascontiguousarray(np.moveaxis(dataset.x_test[:images], -1, 1)), dataset.y_test[:images]
    with TemporaryDirectory() as scratch:
        scaled, fp32 = Path(scratch) / "scaled", Path(scratch) / "fp32"
        compiler.compile(model.file, recording.BOARD, scaled)
        shutil.copytree(scaled, fp32)
        shutil.copy(FLOAT, fp32 / "runtime" / KERNEL)
        outputs = [host.load(directory)(inputs) for directory in (fp32, scaled)]
        manifest = Manifest.load(scaled)
    classes = [output.reshape(len(output), -1).argmax(1) for output in outputs]
    return {
        "model": model.name,
        "model_sha256": manifest.model_sha256,
        "images": len(inputs),
        "layer_norms": sum(layer.op == "layer_norm" for layer in manifest.layers),
        "fp32": round(float((classes[0] == labels).mean()), 4),
        "scaled": round(float((classes[1] == labels).mean()), 4),
        "same_class": round(float((classes[0] == classes[1]).mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, metavar="N", help="the first test images; all when left out")
    parser.add_argument("--toolchain", default="zig", choices=list(toolchain.TOOLCHAINS))
    arguments = parser.parse_args()
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
    reached = []
    for model in models.shipped():
        reached.append(accuracy(model, arguments.images))
        print(reached[-1])
    record = {
        "command": "python benchmarks/table3.py",
        "toolchain": arguments.toolchain,
        "paper": "96.11 % in float, 96.10 % scaled; 38.8 and 52 times faster (Table III)",
        "accuracy": reached,
        "instructions": rows,
    }
    recording.write("table3", record, arguments.toolchain)


if __name__ == "__main__":
    main()
