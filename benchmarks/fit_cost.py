"""Fit the cost tables of src/tinyformer/sparse_engine/cost/tables on the emulated cores.

    python benchmarks/fit_cost.py [--core cortex-m7 ...] [--kernel se_linear_s8 ...] [--check] [--jobs N]

For each core, images hold several hundred layers of random shapes, some for every kernel; the emulator counts the
instructions of each, the cycle model estimates the core's cycles, the bytes that it loads and the lines of code that it
fetches. A linear model per kernel is fitted on the counts of its loops (cost/features), minimising errors relative to
the layer's instructions or cycles, with non-negative coefficients; one more image with other shapes tells the error.
Bytes of code come from images of one layer each. With --kernel only the rows of some kernels are fitted. With --check
nothing is written: the present tables are tried on the last image.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
from cost_code import code, cycle_rules_digest, runtime_digest, startup_cost
from cost_images import ISAS, Measured, NodeMeasured, board, measure, zoo
from cost_layers import LAYERS
from scipy.optimize import nnls

from tinyformer.sparse_engine import cost
from tinyformer.sparse_engine.cost.features import UNALIGNED
from tinyformer.sparse_engine.kernels import KernelCall

CASES = 15  # of every kernel in one image
FIT_SEEDS, CHECK_SEED = (1, 2, 3, 4), 5
TABLES = Path(str(files("tinyformer.sparse_engine.cost"))) / "tables"
STARTUPS_OF = {
    "cortex-m4": ("generic", "stm32l4r5"),
    "cortex-m7": ("generic", "mps2", "stm32f746"),
    "cortex-m33": ("generic", "rp2350"),
}
FILL, MOVE, LOOKUP = "se_fill_s8", "se_move_s8", "se_lookup_s8"
BESIDE = (LOOKUP, "se_softmax_s8", "se_linear_s8")
"""Kernels whose images tell what comes with every image from what comes with the few that are fitted."""
PLACES: tuple[cost.Place, ...] = ("flash", "tensors", "scratch")
SYMBOLS = tuple(symbol for symbol in LAYERS if symbol != FILL)
Of = Callable[[NodeMeasured], float]
"""What is fitted: instructions, cycles, bytes or lines of a node."""
Row = tuple[Mapping[str, float], float, float]
"""Counts, what they should give, and the scale of the error."""
Fitted = dict[str, dict[str, float]]


def instructions(node: NodeMeasured) -> float:
    return node.instructions


def core_cycles(node: NodeMeasured) -> float:
    return node.cycles


def loaded(place: cost.Place) -> Of:
    return lambda node: node.loads[place]


def fetched(system: str) -> Of:
    return lambda node: node.fetched_lines[system]


def total_counts(call: KernelCall) -> dict[str, float]:
    """Return the counts of a node that calls one kernel only."""
    total: dict[str, float] = {}
    for c_call in call.calls:
        for name, count in cost.counts(c_call, call.encoding).items():
            total[name] = total.get(name, 0.0) + c_call.times * count
    return total


def fit(rows: Sequence[Row]) -> dict[str, float]:
    """Return the non-negative coefficients of the least squared errors."""
    names = sorted({name for counts, _, _ in rows for name in counts})
    matrix = np.array([[counts.get(name, 0.0) / scale for name in names] for counts, _, scale in rows])
    largest = np.abs(matrix).max(axis=0)
    largest[largest == 0] = 1
    values = np.array([value / scale for _, value, scale in rows])
    solution, _ = nnls(matrix / largest, values, maxiter=100 * len(names))
    return {name: float(f"{value:.6g}") for name, value in zip(names, solution / largest, strict=True)}


def fit_all(images: Sequence[Measured], symbols: Sequence[str], of: Of, scale: Of) -> Fitted:
    """Return the coefficients of some kernels, and with the movement's those of the fill."""
    rows: dict[str, list[Row]] = {symbol: [] for symbol in symbols}
    for call, node in (each for measured in images for each in measured.tested()):
        if {c_call.symbol for c_call in call.calls} == {call.symbol}:
            counts = total_counts(call)
            if of is not core_cycles:
                counts = {name: 0.0 if UNALIGNED in name else count for name, count in counts.items()}
            rows[call.symbol].append((counts, of(node), scale(node)))
    fitted = {symbol: fit(found) for symbol, found in rows.items()}
    if MOVE in symbols:
        fitted[FILL] = fit(list(fills(images, fitted[MOVE], of, scale)))
    return fitted


def fills(images: Sequence[Measured], move: Mapping[str, float], of: Of, scale: Of) -> Iterator[Row]:
    """Yield what padding takes beside its move."""
    for call, node in (each for measured in images for each in measured.tested()):
        if [c_call.symbol for c_call in call.calls] == [FILL, MOVE]:
            filled, moved = (cost.counts(c_call, None) for c_call in call.calls)
            rest = of(node) - sum(move.get(name, 0.0) * count for name, count in moved.items())
            yield filled, max(0.0, rest), scale(node)


def without_zeros(fitted: Fitted) -> Fitted:
    return {symbol: {name: value for name, value in each.items() if value} for symbol, each in fitted.items()}


def fit_core(core: str, symbols: Sequence[str]) -> cost.CostTable:
    """Measure one core and return its table, with the rows of some kernels."""
    target = board(ISAS[core])
    functions = code(target, dict.fromkeys((*symbols, FILL, *BESIDE)))
    names = STARTUPS_OF.get(core, ("generic",))
    startups = {name: startup_cost(board(ISAS[core], name), functions) for name in names}
    images = [measure(zoo(seed, target, symbols, CASES), target) for seed in FIT_SEEDS]
    measured = images[0]
    nodes = len(measured.model.calls)
    fitted = partial(fit_all, images, symbols)
    return cost.CostTable(
        provenance={
            "command": f"python benchmarks/fit_cost.py --core {core}",
            "toolchain": f"zig {version('ziglang')}",
            "emulator": f"unicorn {version('unicorn')}",
            "runtime_sha256": runtime_digest(),
            "cycle_rules_sha256": cycle_rules_digest(target.isa.core),
        },
        instructions=fitted(instructions, instructions),
        cycles=without_zeros(fitted(core_cycles, core_cycles)),
        loads={place: without_zeros(fitted(loaded(place), core_cycles)) for place in PLACES},
        fetched_lines={
            system: without_zeros(fitted(fetched(system), core_cycles)) for system in measured.nodes[0].fetched_lines
        },
        functions={symbol: each for symbol, each in functions.items() if symbol in (*symbols, FILL)},
        node_bytes=bytes_of_nodes(measured, symbols),
        node_instructions=float(f"{measured.overhead_instructions / nodes:.3g}"),
        node_cycles=float(f"{measured.overhead_cycles / nodes:.3g}"),
        startups=startups,
    )


def bytes_of_nodes(measured: Measured, symbols: Sequence[str]) -> dict[str, int]:
    """Return kernel -> bytes of code around one call."""
    per_node = round(measured.run_bytes / len(measured.model.calls))
    found: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for call, size in zip(measured.model.calls, measured.node_bytes, strict=True):
        if len(call.calls) == 1 and call.symbol in found:
            found[call.symbol].append(size)
    sizes = {symbol: round(float(np.mean(each))) + per_node for symbol, each in found.items()}
    return sizes | ({FILL: sizes[LOOKUP] // 2} if LOOKUP in sizes else {})


def with_rows(table: cost.CostTable, some: cost.CostTable) -> cost.CostTable:
    """Return a table with the rows that another one has in place of its own."""
    return replace(
        table,
        instructions={**table.instructions, **some.instructions},
        cycles={**table.cycles, **some.cycles},
        loads={place: {**each, **some.loads[place]} for place, each in table.loads.items()},
        fetched_lines={name: {**each, **some.fetched_lines[name]} for name, each in table.fetched_lines.items()},
        functions={**table.functions, **some.functions},
        node_bytes={**table.node_bytes, **some.node_bytes},
    )


def report(core: str, table: cost.CostTable, symbols: Sequence[str]) -> str:
    """Return the errors on layers that were not fitted."""
    target = board(ISAS[core])
    image = measure(zoo(CHECK_SEED, target, symbols, CASES), target)
    tested = [({c.symbol for c in call.calls}, cost.node_cost(call, table), node) for call, node in image.tested()]
    lines = [f"{core}: relative error on other shapes (mean, worst), instructions and cycles"]
    for symbol in symbols:
        own = [(said, node) for called, said, node in tested if called == {symbol}]
        errors = [abs(said.instructions / node.instructions - 1) for said, node in own]
        off = [abs(said.cycles / node.cycles - 1) for said, node in own]
        figures = "  ".join(f"{np.mean(each):7.2%} {np.max(each):7.2%}" for each in (errors, off))
        lines.append(f"  {symbol:38} {figures}  ({len(own)} layers)")
    instructions_off = sum(s.instructions for _, s, _ in tested) / sum(n.instructions for _, _, n in tested) - 1
    cycles_off = sum(s.cycles for _, s, _ in tested) / sum(n.cycles for _, _, n in tested) - 1
    lines.append(f"  {'all':38} {instructions_off:+7.2%} {'':9}{cycles_off:+7.2%}")
    for place in PLACES:
        off = [abs(said.loads[place] - node.loads[place]) / node.cycles for _, said, node in tested]
        lines.append(f"  bytes loaded from {place}: off by {np.mean(off):.3f} a cycle, {np.max(off):.3f} at worst")
    for system in table.fetched_lines:
        off = [abs(s.fetched_lines[system] - n.fetched_lines[system]) / n.cycles for _, s, n in tested]
        lines.append(f"  lines fetched with {system}: off by {np.mean(off):.4f} a cycle, {np.max(off):.4f} at worst")
    return "\n".join(lines)


def refit(core: str, check: bool, symbols: Sequence[str]) -> str:
    """Fit and write a core's table, or the rows of some kernels, or only check it; return its report."""
    path = TABLES / f"{core}.json"
    if not check:
        fitted = fit_core(core, symbols or SYMBOLS)
        (with_rows(read(path), fitted) if symbols else fitted).save(path)
    return report(core, read(path), symbols or SYMBOLS)


def read(path: Path) -> cost.CostTable:
    return cost.CostTable.parse(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", nargs="*", default=list(ISAS), choices=list(ISAS))
    parser.add_argument("--kernel", nargs="*", default=[], choices=SYMBOLS, metavar="SYMBOL")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cores fitted at the same time")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for text in pool.map(partial(refit, check=arguments.check, symbols=arguments.kernel), arguments.core):
            print(text, flush=True)


if __name__ == "__main__":
    main()
