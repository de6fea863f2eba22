"""The search that is recorded in full: its space, its choices, and the table of all its candidates.

The space is small enough for every candidate to be evaluated once: three choice blocks with two candidates each and
four choice blocks with three sparsities each, 648 in all. A sampler that is asked offline never meets a candidate that
the table lacks.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyformer.search_space import (
    Candidates,
    DotSpace,
    DownsampleCandidate,
    MobileNetCandidate,
    Parameter,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    TransformerCandidate,
    path_from_dict,
    path_parameters,
    sample_supernet,
    sparsity_from_dict,
    sparsity_parameters,
)
from tinyformer.search_space import Path as SinglePath

HERE = Path(__file__).parent
TABLE = HERE / "search_table.csv"
BOARD = "stm32f746g-disco"
SPACE = SearchSpace(
    name="recorded",
    input_shape=(32, 32, 3),
    classes=10,
    dots=(
        DotSpace((16,), (16,), (1,), (16,), (32,), (0,)),
        DotSpace((64,), (64,), (1,), (64,), (32,), (1,)),
    ),
    candidates=Candidates(
        downsample=(DownsampleCandidate("conv_stride"),),
        mobilenet=(MobileNetCandidate(2), MobileNetCandidate(4)),
        transformer=(TransformerCandidate(1, 1, 1), TransformerCandidate(2, 2, 2)),
    ),
    sparsities=(0.0, 0.5, 0.8),
    block_sizes=(2,),
)
SUPERNET: SupernetConfig = sample_supernet(SPACE, np.random.default_rng(0))  # every width is fixed
FIXED = ("dot0.mobilenet0", "dot0.downsample.sparsity", "pooling.sparsity")  # these take their first choice
Value = int | float | str
Choices = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate: its choices, and its figures by name."""

    choices: Choices
    figures: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        return self.figures["accuracy"]


def parameters() -> tuple[Parameter, ...]:
    """Return what is chosen: everything that has more than one choice and is not fixed."""
    every = (*path_parameters(SUPERNET), *sparsity_parameters(SPACE, SUPERNET))
    return tuple(p for p in every if len(p.choices) > 1 and p.name not in FIXED)


def key(choices: Choices) -> tuple[Value, ...]:
    """Return what tells one candidate from another."""
    return tuple(choices[p.name] for p in parameters())


def candidates() -> Iterator[Choices]:
    """Yield the choices of every candidate."""
    names = [p.name for p in parameters()]
    for values in itertools.product(*(p.choices for p in parameters())):
        yield dict(zip(names, values, strict=True))


def configuration(choices: Choices) -> tuple[SinglePath, SparsityConfig]:
    """Return the path and the sparsity configuration of some choices."""
    every = (*path_parameters(SUPERNET), *sparsity_parameters(SPACE, SUPERNET))
    complete = {p.name: p.choices[0] for p in every} | dict(choices)
    return path_from_dict(SUPERNET, complete), sparsity_from_dict(SPACE, SUPERNET, complete)


def read(path: Path) -> list[Row]:
    """Return the complete rows of a table, none when there is no table yet."""
    if not path.exists():
        return []
    known = {p.name: {str(value): value for value in p.choices} for p in parameters()}
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            if None in record.values():  # cut off in the middle of a line
                continue
            choices = {name: values[record[name]] for name, values in known.items()}
            rows.append(Row(choices, {name: float(text) for name, text in record.items() if name not in known}))
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write a table, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        names = [*(p.name for p in parameters()), *rows[0].figures]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([*key(row.choices), *(f"{value:.6g}" for value in row.figures.values())])
    part.replace(path)
