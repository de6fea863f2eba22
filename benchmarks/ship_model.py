"""Turn a finished run into a model that ships.

    python benchmarks/ship_model.py runs/NAME models/NAME [--stages runs/FIRST runs/SECOND ...]

Copies the int8 ONNX file, the run file, the result and the checkpoint, and writes the epochs of fine-tuning as a table
(training.csv) and a plot (training.svg); of a model that was trained on by further runs, those of all its stages. The
card, README.md, is written by hand.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import charts

FILES = ("model.onnx", "run.toml", "result.json", "checkpoint.safetensors")
LIMIT_BYTES = {"model.onnx": 3 << 20, "checkpoint.safetensors": 8 << 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("model", type=Path, help="the folder of the model")
    parser.add_argument("--stages", type=Path, nargs="+", help="the runs that trained it, in order, if not that alone")
    arguments = parser.parse_args()
    for name, limit in LIMIT_BYTES.items():
        size = (arguments.run / name).stat().st_size
        if size > limit:
            sys.exit(f"{arguments.run / name} has {size} bytes; allowed are {limit}")
    arguments.model.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(arguments.run / name, arguments.model / name)
    write_training(arguments.stages or [arguments.run], arguments.model)


def write_training(stages: Sequence[Path], model: Path) -> None:
    """Write the epochs of all stages, counted on, and their plot."""
    epochs: list[dict[str, str]] = []
    for stage in stages:
        with (stage / "sparsenas" / "finetuning.csv").open(encoding="utf-8", newline="") as file:
            epochs += csv.DictReader(file)
    with (model / "training.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, epochs[0], lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "epoch": number} for number, row in enumerate(epochs, start=1))
    lines = {"validation accuracy": "validation_accuracy", "training loss": "loss"}
    charts.lines(
        model / "training.svg",
        "Fine-tuning",
        "epoch",
        "accuracy, loss",
        {title: [(n, float(row[key])) for n, row in enumerate(epochs, start=1)] for title, key in lines.items()},
    )


if __name__ == "__main__":
    main()
