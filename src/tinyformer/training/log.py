"""What a run reports: a row per epoch."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path

from tinyformer.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch; validation is None where there was none.

    Attributes:
        epoch: from 1.
        learning_rate: of its last step.
        loss: mean training loss of its steps.
        validation_loss: mean cross-entropy.
        validation_accuracy: 0 .. 1.
        seconds: wall time, validation included.
        images_per_second: training images over training time.
    """

    epoch: int
    learning_rate: float
    loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """All epochs of a run, those before an interruption included, and the precision it computed in."""

    rows: tuple[EpochRow, ...]
    precision: str

    @property
    def validation_accuracy(self) -> float | None:
        """Accuracy of the last validation."""
        return next((r.validation_accuracy for r in reversed(self.rows) if r.validation_accuracy is not None), None)

    def write(self, path: Path) -> None:
        """Write the rows as ``.csv`` or ``.jsonl``, by the path's ending.

        Raises:
            ConfigError: another ending.
        """
        if path.suffix not in _FORMATS:
            raise ConfigError(f"training log {path}: ending '{path.suffix}'; allowed: {', '.join(_FORMATS)}")
        path.write_text(_FORMATS[path.suffix](self.rows), encoding="utf-8", newline="")


def read_log(path: Path) -> tuple[EpochRow, ...]:
    """Read the rows of a ``.csv`` log; none when there is no such file.

    Raises:
        DataError: it is something else.
    """
    if not path.exists():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_row(cells) for cells in csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"training log {path} cannot be read: {error}; delete it or train again") from error


def _row(cells: Mapping[str, str]) -> EpochRow:
    def optional(name: str) -> float | None:
        return float(cells[name]) if cells[name] else None

    return EpochRow(
        int(cells["epoch"]),
        float(cells["learning_rate"]),
        float(cells["loss"]),
        optional("validation_loss"),
        optional("validation_accuracy"),
        float(cells["seconds"]),
        float(cells["images_per_second"]),
    )


def _to_csv(rows: tuple[EpochRow, ...]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _to_jsonl(rows: tuple[EpochRow, ...]) -> str:
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)


_FORMATS: Mapping[str, Callable[[tuple[EpochRow, ...]], str]] = {".csv": _to_csv, ".jsonl": _to_jsonl}
