"""The manifest: what a bundle holds, in one JSON file. ``docs/bundle.md`` documents every key."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from tinyformer.boards import Board
from tinyformer.errors import DataError

FORMAT_VERSION: Literal[1] = 1
MANIFEST_FILE = "manifest.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Border(_Record):
    """The input or output of the model.

    ``shape`` is the C function's (channels last), ``file_shape`` the ONNX file's, both without batch: the file's array
    transposed by ``axis_order`` (empty: as it is) and reshaped has ``shape``.
    """

    name: str
    shape: tuple[int, ...]
    file_shape: tuple[int, ...]
    axis_order: tuple[int, ...]
    dtype: Literal["int8"]
    scale: float
    zero_point: int
    nbytes: int

    def from_file_layout(self, batch: npt.NDArray[np.generic]) -> npt.NDArray[np.int8]:
        """Return a batch as the C function takes it, (N, *shape).

        Args:
            batch: [N, ...] in the file's layout; int8 as it is, uint8 minus 128, floats quantised (half to even).

        Raises:
            DataError: another shape or dtype.
        """
        if batch.ndim != len(self.file_shape) + 1 or batch.shape[1:] != self.file_shape:
            expected = ", ".join(("N", *map(str, self.file_shape)))
            raise DataError(f"input '{self.name}': shape {batch.shape} does not fit, expected ({expected})")
        values = self.quantize(batch).transpose(0, *(axis + 1 for axis in self._order))
        return np.ascontiguousarray(values).reshape(len(batch), *self.shape)

    def to_file_layout(self, batch: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return a batch of C outputs, (N, *shape), in the file's layout."""
        moved = batch.reshape(len(batch), *(self.file_shape[axis] for axis in self._order))
        inverse = (int(axis) + 1 for axis in np.argsort(self._order))
        return np.ascontiguousarray(moved.transpose(0, *inverse))

    @property
    def _order(self) -> tuple[int, ...]:
        return self.axis_order or tuple(range(len(self.file_shape)))

    def quantize(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.int8]:
        """Return int8 of any accepted array.

        Raises:
            DataError: the dtype is neither int8, uint8 nor floating point.
        """
        if values.dtype == np.int8:
            return values.astype(np.int8)
        if values.dtype == np.uint8:
            return (values.astype(np.int16) - 128).astype(np.int8)
        if np.issubdtype(values.dtype, np.floating):
            steps = np.rint(values.astype(np.float32) / np.float32(self.scale)) + self.zero_point
            quantized: npt.NDArray[np.int8] = np.clip(np.nan_to_num(steps, nan=-128.0), -128, 127).astype(np.int8)
            return quantized
        raise DataError(f"input '{self.name}': {values.dtype} is not accepted, use int8, uint8 or a float type")

    def dequantize(self, values: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        """Return real values."""
        real: npt.NDArray[np.float32] = (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)
        return real


class PlacementRecord(_Record):
    """One buffer of the arena: where it lies and from which step to which it lives, both included."""

    name: str
    kind: Literal["tensor", "scratch"]
    offset: int
    nbytes: int
    first: int
    last: int


class ArenaRecord(_Record):
    """The memory map over time; ``aliases`` names tensors that share another one's place."""

    planner: str
    arena_bytes: int
    lower_bound_bytes: int
    placements: tuple[PlacementRecord, ...]
    aliases: dict[str, str]


class LayerRecord(_Record):
    """One node: step ``index`` of the inference, function ``<name>_node_<index>``.

    ``varying`` is empty where the number of instructions does not depend on the input; else it states the worst case.
    """

    index: int
    name: str
    op: str
    kernel: str
    encoding: str
    why: str
    output: str
    output_shape: tuple[int, ...]
    output_place: Literal["input", "output", "arena"]
    output_offset: int
    weight_bytes: int
    sparsity: float
    macs: int
    effective_macs: int
    scratch_bytes: int
    instructions_predicted: int | None
    varying: str


class Predicted(_Record):
    """Figures from the cost tables, before anything is built; None where there is no table for the core."""

    flash_bytes: int | None
    ram_bytes: int
    instructions: int | None
    cycles: int | None = None


class ImageRecord(_Record):
    """Figures of the linked image."""

    toolchain: str
    toolchain_version: str
    flash_bytes: int
    ram_bytes: int


class Manifest(_Record):
    """Everything about a bundle that is not in its C files."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    model_file: str
    model_sha256: str
    board: Board
    objective: str
    versions: dict[str, str]
    input: Border
    output: Border
    labels: tuple[str, ...]
    arena: ArenaRecord
    layers: tuple[LayerRecord, ...]
    predicted: Predicted
    image: ImageRecord | None
    constant_instructions: bool
    """Whether every inference executes the same number of instructions, whatever the input."""

    def save(self, directory: Path) -> None:
        """Write ``manifest.json`` into a bundle directory."""
        text = self.model_dump_json(indent=2) + "\n"
        (directory / MANIFEST_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """Read the manifest of a bundle directory.

        Raises:
            DataError: there is none, or it is not a manifest of this format.
        """
        path = directory / MANIFEST_FILE
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{directory}: not a bundle ({path.name}: {error}): compile the model again") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise DataError(f"{path}: {where}: {first['msg']}; compile the model again") from error
