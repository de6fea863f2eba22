"""The peers of the paper's Table I through compile, validate and analyze: their flash and peak RAM beside the paper's.

    python benchmarks/peers/run.py [--peer NAME ...] [--keep DIR]

Random weights (seeded): sizes do not depend on them. Each is exported by PyTorch, quantised by onnxruntime, compiled
for ``roomy.toml``, a Cortex-M7 with memory to spare, validated against the reference, the host C, the emulated core and
onnxruntime, and analysed for the board of the paper. The figures go to ``benchmarks/peers.json``.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import networks
import numpy as np
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tinyformer.sparse_engine import compiler, validation

HERE = Path(__file__).parent
RESULTS = HERE.parent / "peers.json"
ROOMY, PAPERS_BOARD = HERE / "roomy.toml", "stm32f746g-disco"
SEED, CALIBRATION, SAMPLES = 0, 8, 2
KB, MB = 1024, 1024 * 1024
PACKAGES = ("tinyformer", "torch", "onnx", "onnxruntime", "numpy", "ziglang", "unicorn")


@dataclass(frozen=True)
class Paper:
    """A row of Table I."""

    ram_bytes: int
    flash_bytes: int


TABLE_I = {
    "ResNet-18": Paper(192 * KB, round(10.66 * MB)),
    "MobileNetV2": Paper(416 * KB, round(2.13 * MB)),
    "MobileViT-XS": Paper(160 * KB, round(1.91 * MB)),
    "CCT-7/3x1": Paper(512 * KB, round(3.52 * MB)),
}


@dataclass(frozen=True)
class Result:
    """A peer: what the image takes, and whether everything that computes it agrees.

    ``arena_bytes`` is what the paper calls peak memory; ``ram_bytes`` adds input, output and stack reserve.
    """

    name: str
    parameters: int
    macs: int
    flash_bytes: int
    ram_bytes: int
    arena_bytes: int
    predicted_flash_bytes: int | None
    predicted_ram_bytes: int
    bit_exact: bool
    onnx_max_steps: int | None
    top1_agreement: float | None
    fits_f746: bool
    flash_limit_bytes: int
    ram_limit_bytes: int
    paper_flash_bytes: int
    paper_ram_bytes: int


class Images(CalibrationDataReader):
    """Images of noise, one at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self._left: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"image": image[np.newaxis]}


def network(name: str) -> torch.nn.Module:
    """Return a peer with seeded weights and normalisation as after training: means and variances of its own images."""
    torch.manual_seed(SEED)
    model = networks.NETWORKS[name]()
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(1, 3, 32, 32)) if name == "MobileViT-XS" else model(torch.randn(8, 3, 32, 32))
    return model.eval()


def quantized(name: str, directory: Path) -> tuple[Path, int]:
    """Write a peer as an int8 QDQ file; return it and the number of parameters."""
    model = network(name)
    in_float, prepared, in_int8 = (directory / f"{stage}.onnx" for stage in ("float", "prepared", "int8"))
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, 32, 32),),
        in_float,
        input_names=["image"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    quant_pre_process(in_float, prepared, skip_symbolic_shape=True)
    images = np.random.default_rng(SEED).normal(size=(CALIBRATION, 3, 32, 32)).astype(np.float32)
    quantize_static(
        prepared,
        in_int8,
        Images(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    return in_int8, sum(parameter.numel() for parameter in model.parameters())


def measure(name: str, directory: Path) -> Result:
    """Return the figures of one peer."""
    path, parameters = quantized(name, directory)
    bundle = compiler.compile(path, ROOMY, directory / "bundle", name="peer")
    images = np.random.default_rng(SEED + 1).normal(size=(SAMPLES, 3, 32, 32)).astype(np.float32)
    found = validation.validate(bundle.directory, images, model=path, device_samples=1)
    analysis = compiler.analyze(path, PAPERS_BOARD)
    paper = TABLE_I[name]
    predicted = bundle.manifest.predicted
    return Result(
        name=name,
        parameters=parameters,
        macs=sum(layer.macs for layer in bundle.manifest.layers),
        flash_bytes=bundle.flash_bytes or 0,
        ram_bytes=bundle.ram_bytes,
        arena_bytes=bundle.manifest.arena.arena_bytes,
        predicted_flash_bytes=predicted.flash_bytes,
        predicted_ram_bytes=predicted.ram_bytes,
        bit_exact=found.bit_exact,
        onnx_max_steps=found.onnx_max_steps,
        top1_agreement=found.top1_agreement,
        fits_f746=analysis.fits,
        flash_limit_bytes=analysis.flash_limit_bytes,
        ram_limit_bytes=analysis.ram_limit_bytes,
        paper_flash_bytes=paper.flash_bytes,
        paper_ram_bytes=paper.ram_bytes,
    )


def table(results: Sequence[Result]) -> str:
    """Return the comparison as text."""
    lines = [f"{'':14}{'flash, MB':>20}{'arena, KB':>20}{'RAM, KB':>10}{'on the F746':>38}"]
    lines.append(f"{'':14}{'here':>10}{'paper':>10}{'here':>10}{'paper':>10}{'':>10}")
    for r in results:
        need = f"needs {r.flash_bytes / KB:.0f} KB flash, {r.ram_bytes / KB:.0f} KB RAM"
        lines.append(
            f"{r.name:14}{r.flash_bytes / MB:>10.2f}{r.paper_flash_bytes / MB:>10.2f}{r.arena_bytes / KB:>10.0f}"
            f"{r.paper_ram_bytes / KB:>10.0f}{r.ram_bytes / KB:>10.0f}{'fits' if r.fits_f746 else need:>38}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", choices=list(networks.NETWORKS))
    parser.add_argument("--keep", type=Path, help="directory for the models and bundles")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    names = arguments.peer or list(networks.NETWORKS)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            directory = (arguments.keep or Path(scratch)) / name.replace("/", "-")
            directory.mkdir(parents=True, exist_ok=True)
            results.append(measure(name, directory))
            print(f"{name}: bit exact {results[-1].bit_exact}, {results[-1].onnx_max_steps} steps from onnxruntime")
    print(table(results))
    if not arguments.peer:
        versions = {package: version(package) for package in PACKAGES}
        text = json.dumps({"versions": versions, "peers": [asdict(result) for result in results]}, indent=2)
        RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
