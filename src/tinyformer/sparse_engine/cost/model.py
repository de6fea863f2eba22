"""Predict what calls cost on a board: instructions and cycles of one inference, bytes of flash, bytes of RAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

from tinyformer.boards import Board
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.cost.features import FEATURES
from tinyformer.sparse_engine.cost.memory_cycles import NodePlaces, memory_cycles
from tinyformer.sparse_engine.cost.table import CostTable, NodeCost, StartupCost, load
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import (
    CCall,
    IntegerArgument,
    KernelCall,
    Params,
    Predict,
    TensorArgument,
    once_for_each_object,
)

_WORD_BYTES = 4
_BORDER_ALIGNMENT = 8
_WEIGHTS_STRUCT_BYTES = {"block_rle": 3 * _WORD_BYTES, "block_rle4": 3 * _WORD_BYTES, "block_bitmap": 2 * _WORD_BYTES}
STRUCT_BYTES = {
    "se_conv2d_params": 22 * _WORD_BYTES,
    "se_linear_params": 9 * _WORD_BYTES,
    "se_matmul_params": 12 * _WORD_BYTES,
    "se_softmax_params": 7 * _WORD_BYTES,
    "se_layer_norm_params": 10 * _WORD_BYTES,
    "se_add_params": 8 * _WORD_BYTES,
    "se_mul_params": 9 * _WORD_BYTES,
    "se_pool2d_params": 17 * _WORD_BYTES,
    "se_move_params": 14 * _WORD_BYTES,
}


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted figures of an image; those of layers are per call, in order.

    ``cycles`` are estimated as ``cycles.estimate`` would: those of the core and, on a board with a memory system, what
    its memory adds to them, which ``layer_memory_cycles`` tells apart.
    """

    flash_bytes: int
    ram_bytes: int
    instructions: int
    cycles: int
    layer_instructions: tuple[int, ...]
    layer_cycles: tuple[int, ...]
    layer_memory_cycles: tuple[int, ...]


def _elements(call: CCall) -> int | None:
    """Return the number of elements that a function without a struct is told first."""
    first = call.arguments[0]
    return first.value if call.params_type is None and isinstance(first, IntegerArgument) else None


def _parameters(params: Params, elements: int | None) -> dict[str, int]:
    """Return the integers that a call's cost depends on, arrays element by element."""
    found: dict[str, int] = {}
    for name, value in params:
        if isinstance(value, int):
            found[name] = value
        else:
            found |= {f"{name}[{i}]": element for i, element in enumerate(value)}
    return found if elements is None else found | {"elements": elements}


def counts(call: CCall, option: Option | None) -> Mapping[str, float]:
    """Return how often each part of a C function's loops runs."""
    return _counts(call.symbol, call.params, _elements(call), option)


@lru_cache(maxsize=16384)
def _counts(symbol: str, params: Params, elements: int | None, option: Option | None) -> Mapping[str, float]:
    """Count for all calls that differ in arguments alone: networks repeat their blocks, searches their candidates."""
    values = _parameters(params, elements)
    stored_blocks = 0 if option is None else option.stored_blocks
    return MappingProxyType({"call": 1.0, **FEATURES[symbol](values, stored_blocks)})


@lru_cache(maxsize=16)
def predictor(board: Board) -> Predict:
    """Return a function from kernel calls to predicted instructions, as ``kernels.select`` takes it.

    Raises:
        ConfigError: there is no cost table for the board's core.
    """
    table = load(board.isa)
    if table is None:
        raise ConfigError(f"board '{board.name}': no cost table for {board.isa.core}; use objective 'size'")
    return once_for_each_object(partial(instructions, table=table))


def instructions(call: KernelCall, table: CostTable) -> float:
    """Return the predicted instructions of one node."""
    total = 0.0
    for c_call in call.calls:
        each = table.instructions[c_call.symbol]
        once = sum(each.get(name, 0.0) * count for name, count in counts(c_call, call.encoding).items())
        total += c_call.times * once
    return total


def node_cost(call: KernelCall, table: CostTable) -> NodeCost:
    """Return what one node takes wherever its tensors lie."""
    return NodeCost.total(
        (c_call.times, _call_cost(table, c_call.symbol, c_call.params, _elements(c_call), call.encoding))
        for c_call in call.calls
    )


@lru_cache(maxsize=16384)
def _call_cost(table: CostTable, symbol: str, params: Params, elements: int | None, option: Option | None) -> NodeCost:
    """Multiply for all calls that differ in arguments alone; where these lie is left to ``memory_cycles``."""
    return table.cost(symbol, _counts(symbol, params, elements, option))


def predict(
    graph: Graph, calls: Sequence[KernelCall], arena_bytes: int, places: Sequence[NodePlaces], board: Board
) -> Prediction | None:
    """Predict an image's figures; None when there is no table for the board's core.

    Args:
        graph: the lowered graph, with or without data.
        calls: its kernel calls.
        arena_bytes: size of the planned arena.
        places: where each call finds what it reads.
        board: the target.

    Raises:
        ConfigError: the table was not fitted for the board's memory system.
    """
    table = load(board.isa)
    if table is None:
        return None
    costs = [node_cost(call, table) for call in calls]
    borders = _rounded(graph.tensors[graph.input].nbytes, _BORDER_ALIGNMENT)
    borders += _rounded(graph.tensors[graph.output].nbytes, _WORD_BYTES)  # the last in RAM
    memory = [0] * len(calls)
    if board.memory_system is not None:
        stalls = memory_cycles(board, table, arena_bytes)
        constants = (constant_bytes(graph, call) for call in calls)
        memory = [round(stalls(*node)) for node in zip(costs, places, constants, strict=True)]
    layer_instructions = tuple(round(each.instructions) for each in costs)
    layer_cycles = tuple(round(each.cycles) + added for each, added in zip(costs, memory, strict=True))
    return Prediction(
        flash_bytes=flash_bytes(graph, calls, board, table),
        ram_bytes=board.stack_bytes + arena_bytes + borders + _startup(table, board).ram_bytes,
        instructions=round(table.node_instructions * len(calls)) + sum(layer_instructions),
        cycles=round(table.node_cycles * len(calls)) + sum(layer_cycles),
        layer_instructions=layer_instructions,
        layer_cycles=layer_cycles,
        layer_memory_cycles=tuple(memory),
    )


def flash_bytes(graph: Graph, calls: Sequence[KernelCall], board: Board, table: CostTable) -> int:
    """Return the predicted flash bytes of an image: start-up, kernels, what calls them, weights and other constants."""
    of_node = _node_flash(table)
    nodes = [of_node(call, graph) for call in calls]
    symbols = frozenset[str]().union(*(symbols for _, symbols in nodes))
    return _startup(table, board).flash_bytes + _code_bytes(table, symbols) + sum(nbytes for nbytes, _ in nodes)


@lru_cache(maxsize=16)
def _node_flash(table: CostTable) -> Callable[[KernelCall, Graph], tuple[int, frozenset[str]]]:
    """Return a function from a call to the bytes of its constants and of the code around it, and to its symbols."""

    def of_node(call: KernelCall, graph: Graph) -> tuple[int, frozenset[str]]:
        around = sum(table.node_bytes[c_call.symbol] for c_call in call.calls)
        return around + constant_bytes(graph, call), frozenset(c_call.symbol for c_call in call.calls)

    return once_for_each_object(of_node)


@lru_cache(maxsize=1024)
def _code_bytes(table: CostTable, symbols: frozenset[str]) -> int:
    code: dict[str, int] = {}
    for symbol in symbols:
        code |= table.functions[symbol]
    return sum(code.values())


def _startup(table: CostTable, board: Board) -> StartupCost:
    return table.startups.get(board.startup, table.startups["generic"])  # the others add a few hundred bytes


def constant_bytes(graph: Graph, call: KernelCall) -> int:
    """Return the flash bytes of a node's parameters, weights and other constants, each rounded up to words."""
    total = sum(STRUCT_BYTES.get(c_call.params_type or "", 0) for c_call in call.calls)
    if call.encoding is not None:
        total += _rounded(call.encoding.nbytes, _WORD_BYTES)
        total += _WEIGHTS_STRUCT_BYTES.get(call.encoding.encoding, 0)
    names = {
        argument.name
        for c_call in call.calls
        for argument in c_call.arguments
        if isinstance(argument, TensorArgument) and graph.tensors[argument.name].constant
    }
    return total + sum(_rounded(graph.tensors[name].nbytes, _WORD_BYTES) for name in names)


def _rounded(nbytes: int, alignment: int) -> int:
    return -(-nbytes // alignment) * alignment
