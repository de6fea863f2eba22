"""A run on disk: one safetensors file whose metadata holds the rest as JSON, replaced in one rename.

Random numbers need no state: every epoch's generators are seeded by (seed, epoch).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from tinyformer.errors import ConfigError, DataError
from tinyformer.training.log import EpochRow

_FORMAT = 1
_KEY = "tinyformer.training"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run is, what it was started with, and its precision."""

    epoch: int
    step: int
    stopped: bool
    precision: str
    rows: tuple[EpochRow, ...]
    origin: Mapping[str, Any]


def write(
    path: Path, position: Position, model: nn.Module, average: nn.Module | None, optimizer: optim.Optimizer
) -> None:
    """Write a checkpoint beside its place, then rename: a killed process leaves the old or the new one.

    Raises:
        DataError: the disk refuses.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data = save(plain, {_KEY: json.dumps({"format": _FORMAT, **asdict(position)})})
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(f"checkpoint {path} cannot be written: {error}") from error


def fingerprint(model: nn.Module) -> str:
    """Return a short digest of a model's parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def read(path: Path, origin: Mapping[str, Any]) -> tuple[Position, dict[str, Tensor]]:
    """Read a checkpoint.

    Args:
        path: the file.
        origin: what this run is started with; must equal the checkpoint's.

    Raises:
        ConfigError: the checkpoint belongs to a run with other settings.
        DataError: the file is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header.pop("format") != _FORMAT:
            raise DataError(f"checkpoint {path} has another format; start without resuming")
        header["rows"] = tuple(EpochRow(**row) for row in header["rows"])
        position = Position(**header)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"checkpoint {path} is damaged or none: {error}; start without resuming") from error
    wanted = json.loads(json.dumps(origin))
    different = sorted(
        key for key in wanted.keys() | position.origin.keys() if wanted.get(key) != position.origin.get(key)
    )
    if different:
        key = different[0]
        raise ConfigError(
            f"checkpoint {path} is of a run with {key} = {position.origin.get(key)}, this one has {wanted.get(key)}; "
            f"resume with the same settings, or start without resuming"
        )
    return position, tensors


def restore(
    path: Path,
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    average: nn.Module | None,
    optimizer: optim.Optimizer,
) -> None:
    """Put a checkpoint's tensors back.

    Raises:
        DataError: they belong to another model.
    """
    _load(path, tensors, "model.", model)
    if average is not None:
        _load(path, tensors, "average.", average)
    parameters = _parameters(optimizer)
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            parameter = parameters[int(index)]
            optimizer.state[parameter][key] = _like(parameter, value)


def _load(path: Path, tensors: Mapping[str, Tensor], prefix: str, model: nn.Module) -> None:
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"checkpoint {path} belongs to another model: {reason}; start without resuming") from error


def _parameters(optimizer: optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """Return a state tensor where, and in the memory layout in which, the fused optimisers expect it."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False, memory_format=torch.preserve_format).copy_(value)
