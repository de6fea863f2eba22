"""Record the search of recorded_search.py: one supernet on CIFAR-10, and every candidate judged with its weights.

    python benchmarks/record_search.py supernet    # trains it, kept in the cache
    python benchmarks/record_search.py table       # judges all candidates: search_table.csv
    python benchmarks/record_search.py training    # trains some of them briefly: search_training.csv

Each goes on where it was interrupted and computes in one thread. The budget is in the constants below, what it took in
search_table.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import recorded_search as recorded
import torch
from recorded_search import Choices, Row

from tinyformer import boards, data
from tinyformer.data import Dataset
from tinyformer.pruning import GradualPruning
from tinyformer.resources import Limits, resource_eval
from tinyformer.search_space import layer_sparsities
from tinyformer.study import Arrays, load_arrays, save_arrays
from tinyformer.supernas.torch_actions import UniformPaths, build, prune, restore
from tinyformer.supernet import SinglePathModel, Supernet, extract, recalibrate
from tinyformer.supernet.arrays import to_arrays
from tinyformer.training import PRESETS, evaluate, fit, image_batches
from tinyformer.training.stage import stage_recipe

CACHE = Path.home() / ".cache" / "tinyformer" / "recorded-search"
TRAINING = recorded.HERE / "search_training.csv"
PROVENANCE = recorded.HERE / "search_table.json"
SEED = 0
SUPERNET_IMAGES, SUPERNET_EPOCHS = 24_000, 10
JUDGED_ON = slice(0, 1024)  # of the validation split: what chooses
TESTED_ON = slice(1024, 2500)  # what the choice is measured on, disjoint from it
RECALIBRATION_IMAGES = 512
TRAINED, TRAINING_IMAGES, DENSE_EPOCHS, SPARSE_EPOCHS, RAMP_EPOCHS = 24, 2048, 2, 4, 2
BATCH, RATE = 128, 2e-3
RECIPE = replace(PRESETS["strong"], ema_decay=0.99, augmentation="crop_flip", precision="bf16")


def dataset() -> Dataset:
    return data.load("cifar10", seed=SEED, validation_fraction=0.05)


def supernet(images: Dataset) -> Supernet:
    """Return the supernet, trained on the first call."""
    file = CACHE / "supernet.safetensors"
    budget = {"seed": SEED, "images": SUPERNET_IMAGES, "epochs": SUPERNET_EPOCHS, "space": asdict(recorded.SPACE)}
    if not file.exists():
        net = build(recorded.SUPERNET, SEED)
        log = fit(
            net,
            images.x_train[:SUPERNET_IMAGES],
            images.y_train[:SUPERNET_IMAGES],
            stage_recipe(RECIPE, SUPERNET_EPOCHS, BATCH, RATE),
            mean=images.mean,
            std=images.std,
            seed=SEED,
            forward=UniformPaths(recorded.SUPERNET, SEED),
            checkpoint=CACHE / "training.safetensors",
            resume=True,
        )
        took_s = sum(row.seconds for row in log.rows)
        save_arrays(file, to_arrays(net), json.loads(json.dumps({**budget, "seconds": took_s})))
    weights, description = load_arrays(file)
    found = {name: description[name] for name in budget}
    if json.dumps(found, sort_keys=True) != json.dumps(budget, sort_keys=True):
        raise SystemExit(f"{file}: trained with another budget; remove it")
    return restore(recorded.SUPERNET, weights)


def judge(net: Supernet, images: Dataset, choices: Choices, part: slice = JUDGED_ON) -> tuple[SinglePathModel, float]:
    """Return a candidate's model with the supernet's weights, pruned in one shot, and its accuracy."""
    path, sparsity = recorded.configuration(choices)
    model = extract(net, path).to(memory_format=torch.channels_last)
    prune(model, sparsity)
    scaling = {"mean": images.mean, "std": images.std}
    with torch.autocast("cpu", torch.bfloat16):
        batches = image_batches(images.x_train[:RECALIBRATION_IMAGES], batch_size=RECALIBRATION_IMAGES, **scaling)
        recalibrate(model, batches)
    return model, evaluate(model, images.x_val[part], images.y_val[part], precision="bf16", **scaling)


def record_table(net: Supernet, images: Dataset) -> None:
    board = boards.load(recorded.BOARD)
    resources = resource_eval(board, Limits(board.flash.size_bytes, board.ram.size_bytes))

    def row(choices: Choices) -> Row:
        started_s = time.process_time()
        predicted = resources(recorded.SUPERNET, *recorded.configuration(choices))
        accuracy = judge(net, images, choices)[1]
        latency_ms = predicted.latency_ms or 0.0
        figures = {
            "accuracy": accuracy,
            "flash_bytes": predicted.flash_bytes,
            "ram_bytes": predicted.ram_bytes,
            "latency_ms": latency_ms,
            "cycles": round(latency_ms * board.clock_hz / 1e3),
            "seconds": time.process_time() - started_s,
        }
        return Row(choices, figures)

    _record(recorded.TABLE, list(recorded.candidates()), row)


def record_trainings(net: Supernet, images: Dataset) -> None:
    """Train candidates drawn at random, as a search without a better idea would."""
    every = list(recorded.candidates())
    chosen = [every[i] for i in np.random.default_rng(SEED).permutation(len(every))[:TRAINED]]
    _record(TRAINING, chosen, lambda choices: train_briefly(net, images, choices))


def train_briefly(net: Supernet, images: Dataset, choices: Choices, seed: int = SEED) -> Row:
    """Train and prune a candidate as Algorithm 3 does, on few images; accuracies are on images that judge nothing."""
    path, sparsity = recorded.configuration(choices)
    model, judged = judge(net, images, choices, TESTED_ON)
    started_s, figures = time.process_time(), {"judged": judged}
    model = extract(net, path)
    held_out = (images.x_val[TESTED_ON], images.y_val[TESTED_ON])
    targets = layer_sparsities(recorded.SUPERNET, path, sparsity)
    pruning = GradualPruning({n: t for n, t in targets.items() if t.sparsity}, end=RAMP_EPOCHS / SPARSE_EPOCHS)
    for epochs, callbacks in ((DENSE_EPOCHS, ()), (SPARSE_EPOCHS, (pruning,))):
        log = fit(
            model,
            images.x_train[-TRAINING_IMAGES:],
            images.y_train[-TRAINING_IMAGES:],
            stage_recipe(RECIPE, epochs, BATCH, RATE / 2),
            mean=images.mean,
            std=images.std,
            seed=seed,
            validation=held_out,
            callbacks=callbacks,
        )
        for epoch in log.rows:
            figures[f"epoch_{len(figures)}"] = epoch.validation_accuracy or 0.0
    figures["train_seconds"] = time.process_time() - started_s
    return Row(choices, figures)


def _record(path: Path, wanted: Sequence[Choices], evaluate_one: Callable[[Choices], Row]) -> None:
    """Evaluate what a table lacks and save it every few seconds."""
    rows = {recorded.key(row.choices): row for row in recorded.read(path)}
    saved_s = time.monotonic()
    for choices in wanted:
        if recorded.key(choices) in rows:
            continue
        row = evaluate_one(choices)
        rows[recorded.key(row.choices)] = row
        if time.monotonic() - saved_s > 10:
            recorded.write(path, list(rows.values()))
            saved_s = time.monotonic()
            print(f"{path.name}: {len(rows)} of {len(wanted)}", flush=True)
    order = {recorded.key(choices): i for i, choices in enumerate(wanted)}
    recorded.write(path, sorted(rows.values(), key=lambda row: order[recorded.key(row.choices)]))


def record_provenance(weights: Arrays, description: dict[str, object]) -> None:
    table = recorded.read(recorded.TABLE)
    record = {
        "commands": [f"python benchmarks/record_search.py {stage}" for stage in STAGES],
        "board": recorded.BOARD,
        "dataset": "cifar10, 5 % of its training images for validation",
        "seed": SEED,
        "supernet": {
            "parameters": int(sum(array.size for array in weights.values())),
            "images": SUPERNET_IMAGES,
            "epochs": SUPERNET_EPOCHS,
            "batch_size": BATCH,
            "learning_rate": RATE,
            "seconds": round(float(str(description["seconds"]))),
        },
        "table": {
            "candidates": len(table),
            "validation_images": JUDGED_ON.stop - JUDGED_ON.start,
            "recalibration_images": RECALIBRATION_IMAGES,
            "cpu_seconds": round(sum(row.figures["seconds"] for row in table)),
        },
        "training": {
            "candidates": len(recorded.read(TRAINING)),
            "images": TRAINING_IMAGES,
            "epochs": [DENSE_EPOCHS, SPARSE_EPOCHS],
            "ramp_epochs": RAMP_EPOCHS,
            "validation_images": TESTED_ON.stop - TESTED_ON.start,
        },
        "versions": {name: version(name) for name in ("tinyformer", "torch", "numpy", "optuna")},
        "recipe": asdict(RECIPE),
    }
    PROVENANCE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


STAGES = {"supernet": None, "table": record_table, "training": record_trainings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=list(STAGES))
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    CACHE.mkdir(parents=True, exist_ok=True)
    images = dataset()
    net = supernet(images)
    for stage in arguments.stages:
        work = STAGES[stage]
        if work is not None:
            work(net, images)
    record_provenance(*load_arrays(CACHE / "supernet.safetensors"))


if __name__ == "__main__":
    main()
