"""Run a bundle's C on this machine over NumPy arrays."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError
from tinyformer.sparse_engine.bundle import LayerRecord, Manifest
from tinyformer.sparse_engine.host import library

Int8Array = npt.NDArray[np.int8]
_LOCKS: defaultdict[Path, Lock] = defaultdict(Lock)  # a library is loaded once per process, with one arena


class HostModel:
    """A model's C, compiled for this machine.

    Bit for bit what the microcontroller computes. Calls from several threads wait for one another.
    """

    def __init__(self, manifest: Manifest, path: Path) -> None:
        self.manifest = manifest
        self._lock = _LOCKS[path]
        self._library = ctypes.CDLL(str(path))
        self._library.se_host_arena.restype = ctypes.c_void_p
        self._library.se_host_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        self._library.se_host_run_f32.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        self._library.se_host_step.argtypes = [ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p]

    def __call__(self, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run a batch in the layout of the model file.

        Args:
            inputs: [N, ...]; int8 as the C function takes it, uint8 (minus 128), or real values.

        Returns:
            [N, ...] in the file's layout: int8 for integer inputs, float32 for real ones.

        Raises:
            DataError: the shape or dtype does not fit.
        """
        border = self.manifest.output
        outputs = border.to_file_layout(self.run(self.manifest.input.from_file_layout(inputs)))
        return border.dequantize(outputs) if np.issubdtype(inputs.dtype, np.floating) else outputs

    def run(self, inputs: Int8Array) -> Int8Array:
        """Run a batch in the C function's layout, (N, *input shape) int8 -> (N, *output shape) int8."""
        samples = self._checked(inputs, np.dtype(np.int8))
        outputs = np.empty((len(samples), *self.manifest.output.shape), np.int8)
        with self._lock:
            self._library.se_host_run(samples.ctypes.data, outputs.ctypes.data, len(samples))
        return outputs

    def run_f32(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run ``<name>_run_f32`` on a batch of real values in the C function's layout."""
        samples = self._checked(inputs, np.dtype(np.float32))
        outputs = np.empty((len(samples), *self.manifest.output.shape), np.float32)
        with self._lock:
            self._library.se_host_run_f32(samples.ctypes.data, outputs.ctypes.data, len(samples))
        return outputs

    def trace(self, sample: Int8Array) -> list[Int8Array]:
        """Run one inference node by node and return every node's output, in order of the manifest's layers."""
        sample = self._checked(sample[np.newaxis], np.dtype(np.int8))[0]
        output = np.zeros(self.manifest.output.shape, np.int8)
        tensors = []
        with self._lock:
            for layer in self.manifest.layers:
                self._library.se_host_step(layer.index, sample.ctypes.data, output.ctypes.data)
                tensors.append(self._tensor(layer, output))
        return tensors

    def _tensor(self, layer: LayerRecord, output: Int8Array) -> Int8Array:
        if layer.output_place == "output":
            return output.reshape(layer.output_shape).copy()
        data = ctypes.string_at(self._library.se_host_arena() + layer.output_offset, prod(layer.output_shape))
        return np.frombuffer(data, np.int8).reshape(layer.output_shape)

    def _checked(self, inputs: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        expected = self.manifest.input.shape
        if inputs.shape[1:] != expected or inputs.dtype != dtype:
            wanted = ", ".join(("N", *map(str, expected)))
            raise DataError(f"input is {inputs.dtype}{inputs.shape}, expected {dtype}({wanted})")
        return np.ascontiguousarray(inputs)


def load(directory: str | Path, *, toolchain: str = "zig", sanitize: bool = False) -> HostModel:
    """Return a callable that runs a bundle's C on this machine.

    Args:
        directory: a bundle written by ``compile``.
        toolchain: the compiler, ``zig`` or ``gcc``.
        sanitize: end the process at the first undefined behaviour.

    Raises:
        DataError: the directory is not a bundle.
        MissingExtraError: the compiler is not installed.
        ToolchainError: it failed.
    """
    bundle = Path(directory)
    manifest = Manifest.load(bundle)
    return HostModel(manifest, library.build(bundle, manifest, toolchain, sanitize=sanitize))
