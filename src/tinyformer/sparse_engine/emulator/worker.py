"""The process that runs an image in unicorn: started with a job directory, it leaves results or one error there.

A process of its own, because libunicorn is GPL-2.0, and because only a process can be stopped when time is up.
"""

from __future__ import annotations

import json
import math
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyformer.errors import EmulatorError, TinyFormerError
from tinyformer.sparse_engine import elf
from tinyformer.sparse_engine.emulator.emulation import ENTRY, OVERHEAD, Profile
from tinyformer.sparse_engine.emulator.job import ERROR, FAILED, INPUTS, JOB, OUTPUTS, PROFILE, RESULT, Job
from tinyformer.sparse_engine.emulator.machine import REGISTER_READER, Guard, Machine
from tinyformer.sparse_engine.emulator.profile import BlockProfile, node_functions

_GRACE_S = 5
_INPUT_ORIGIN, _OUTPUT_ORIGIN = 0xA000_0000, 0xB000_0000


@dataclass(slots=True)
class _Stop:
    """Where to stop during an inference, and what to read there."""

    address: int
    points: list[int]


class Session:
    """Runs inferences one after another on one machine: the image protocol of main.c."""

    def __init__(self, job: Job, inputs: npt.NDArray[np.int8]) -> None:
        self._job = job
        self._inputs = inputs
        self._image = elf.read(Path(job.elf_path))
        self._nodes = node_functions(self._image, job.name)
        self._profile = BlockProfile(Path(job.hook_library), self._image, job.name, REGISTER_READER)
        self._machine = Machine(self._image, job.board, self._profile)
        self._input = self._guard("se_app_input", inputs.shape[1], _INPUT_ORIGIN, writable=False)
        self._output = self._guard("se_app_output", job.output_bytes, _OUTPUT_ORIGIN, writable=True)
        self._stops = self._plan_stops()
        self._traces = [np.zeros((len(inputs), point.nbytes), np.int8) for point in job.trace]
        self._counts: list[int] = []
        self._entries: Profile = np.zeros(0, ENTRY)

    def _guard(self, symbol: str, size: int, origin: int, *, writable: bool) -> Guard:
        found = self._image.symbol(symbol).size
        if found != size:
            raise EmulatorError(f"the image's {symbol} has {found} bytes, the caller's {size}: use this model's data")
        return self._machine.guard(origin, size, writable=writable)

    def _plan_stops(self) -> list[_Stop]:
        """Return the stops that read a node's results where the next node begins; the last node's come at the end."""
        indices = list(self._nodes)
        stops: dict[int, _Stop] = {}
        for number, point in enumerate(self._job.trace):
            if point.node not in self._nodes:
                raise EmulatorError(f"trace point {number} names node {point.node}: the image has {indices}")
            following = indices.index(point.node) + 1
            if following < len(indices):
                node = indices[following]
                stops.setdefault(node, _Stop(self._nodes[node].address, [])).points.append(number)
        return [stops[node] for node in sorted(stops)]

    def run(self) -> npt.NDArray[np.int8]:
        """Run every input and return the outputs."""
        machine, symbol = self._machine, self._image.symbol
        outputs = np.zeros((len(self._inputs), self._job.output_bytes), np.int8)
        last = max(self._nodes, default=None)
        for index, values in enumerate(self._inputs):
            machine.run_to(symbol("se_app_ready").address)
            machine.write(symbol("se_app_input").address, values.tobytes())
            machine.run_to(symbol(f"{self._job.name}_run").address)
            self._infer(index, values.tobytes())
            machine.run_to(symbol("se_app_done").address)
            for number, point in enumerate(self._job.trace):
                if point.node == last:
                    self._read_trace(index, number)
            outputs[index] = np.frombuffer(machine.read(symbol("se_app_output").address, outputs.shape[1]), np.int8)
        return outputs

    def _infer(self, index: int, values: bytes) -> None:
        """Run <name>_run on guarded buffers in the place of the program's own, counting."""
        machine = self._machine
        return_address, own_output = machine.register("lr"), machine.register("r1")
        machine.write(self._input.address, values)
        machine.set_register("r0", self._input.address)
        machine.set_register("r1", self._output.address)
        beyond_arena = self._beyond_arena()
        self._profile.start()
        for stop in self._stops:
            machine.run_to(stop.address)
            for number in stop.points:
                self._read_trace(index, number)
        machine.run_to(return_address)
        instructions = self._profile.stop()
        self._output.check("output")
        if self._beyond_arena() != beyond_arena:
            raise EmulatorError("the program writes after the end of its arena")
        machine.check_ram_end()
        machine.write(own_output, machine.read(self._output.address, self._output.size))
        if instructions > max(self._counts, default=-1):
            self._entries = self._profile.entries()
        self._counts.append(instructions)

    def _beyond_arena(self) -> bytes:
        """Return the variables behind the arena, none of which is the model's."""
        arena = self._image.symbols.get(f"{self._job.name}_arena")
        return b"" if arena is None else self._machine.read_variables(arena.address + arena.size)

    def _read_trace(self, index: int, number: int) -> None:
        point = self._job.trace[number]
        location = point.location
        address = self._image.symbol(location).address if isinstance(location, str) else location
        for symbol, guard in (("se_app_input", self._input), ("se_app_output", self._output)):
            offset = address - self._image.symbol(symbol).address
            if 0 <= offset < guard.size:
                address = guard.address + offset
        self._traces[number][index] = np.frombuffer(self._machine.read(address, point.nbytes), np.int8)

    def save(self, directory: Path, outputs: npt.NDArray[np.int8]) -> None:
        """Write the results into the job directory."""
        layers = [0] * (max(self._nodes, default=-1) + 1)
        overhead = 0
        for entry in self._entries:
            instructions = int(entry["count"]) * int(entry["instructions"])
            if entry["phase"] == OVERHEAD:
                overhead += instructions
            else:
                layers[entry["phase"]] += instructions
        result = {
            "instructions_each": self._counts,
            "layer_instructions": layers,
            "overhead_instructions": overhead,
            "stack_bytes": self._machine.stack_bytes(),
            "console": self._machine.console.decode("utf-8", errors="replace"),
        }
        np.save(directory / OUTPUTS, outputs)
        np.save(directory / PROFILE, self._entries)
        for number, trace in enumerate(self._traces):
            np.save(directory / f"trace_{number}.npy", trace)
        (directory / RESULT).write_text(json.dumps(result))


def main(directory: Path) -> int:
    """Run the job of a directory; return the exit status."""
    job = Job.from_json((directory / JOB).read_text())
    if sys.platform != "win32":
        signal.alarm(math.ceil(job.timeout_s) + _GRACE_S)  # ends a worker whose parent is gone
    try:
        session = Session(job, np.load(directory / INPUTS))
        session.save(directory, session.run())
    except TinyFormerError as error:
        (directory / ERROR).write_text(str(error))
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
