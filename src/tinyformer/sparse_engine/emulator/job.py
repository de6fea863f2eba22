"""What passes between the emulator's two processes: a directory with these files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from tinyformer.boards import Board, Isa, Memory
from tinyformer.sparse_engine.emulator.emulation import TracePoint

JOB = "job.json"
INPUTS = "inputs.npy"
OUTPUTS = "outputs.npy"
PROFILE = "profile.npy"
RESULT = "result.json"
ERROR = "error.txt"

FAILED = 3
"""The worker's exit status when the error file says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: an image, its model's name, the library of the block hook, what to trace, the board, how long."""

    elf_path: str
    name: str
    output_bytes: int
    hook_library: str
    trace: tuple[TracePoint, ...]
    board: Board
    timeout_s: float

    def to_json(self) -> str:
        """Return the job as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that to_json wrote."""
        fields: dict[str, Any] = json.loads(text)
        board = fields["board"]
        board |= {"isa": Isa(**board["isa"]), "flash": Memory(**board["flash"]), "ram": Memory(**board["ram"])}
        fields |= {"board": Board(**board), "trace": tuple(TracePoint(*point) for point in fields["trace"])}
        return cls(**fields)
