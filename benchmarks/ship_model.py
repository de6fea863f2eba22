"""Turn a finished run into a model that ships.

    python benchmarks/ship_model.py runs/NAME models/NAME

Copies the int8 ONNX file, the run file, the result and the checkpoint, and writes the epochs of stage two as a table
(training.csv) and a plot (training.svg). The card, README.md, is written by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import charts

FILES = ("model.onnx", "run.toml", "result.json", "checkpoint.safetensors")
LIMIT_BYTES = {"model.onnx": 3 << 20, "checkpoint.safetensors": 8 << 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("model", type=Path, help="the folder of the model")
    arguments = parser.parse_args()
    for name, limit in LIMIT_BYTES.items():
        size = (arguments.run / name).stat().st_size
        if size > limit:
            sys.exit(f"{arguments.run / name} has {size} bytes; allowed are {limit}")
    arguments.model.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(arguments.run / name, arguments.model / name)
    shutil.copyfile(arguments.run / "sparsenas" / "finetuning.csv", arguments.model / "training.csv")
    epochs = json.loads((arguments.run / "result.json").read_text(encoding="utf-8"))["training"]
    charts.lines(
        arguments.model / "training.svg",
        "Stage two",
        "epoch",
        "accuracy, loss",
        {
            "validation accuracy": [(row["epoch"], row["validation_accuracy"]) for row in epochs],
            "training loss": [(row["epoch"], row["loss"]) for row in epochs],
        },
    )


if __name__ == "__main__":
    main()
