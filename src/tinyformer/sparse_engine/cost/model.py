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
from tinyformer.sparse_engine.cost.memory_cycles import MemoryCycles, NodePlaces, memory_cycles
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


@dataclass(frozen=True, slots=True)
class _CallCost:
    """What a call takes wherever its tensors lie: its stalls are those of code and constants."""

    node: NodeCost
    stalls: float
    flash_bytes: int
    symbols: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class ImageCost:
    """What kernel calls take on a board, and an image of them: ``kernels.Flash``, and predictions.

    A call that was priced before is known by its object.
    """

    board: Board
    table: CostTable
    memory: MemoryCycles | None
    _price: Callable[[KernelCall, Graph], _CallCost]

    def of_call(self, graph: Graph, call: KernelCall) -> tuple[int, frozenset[str]]:
        """Return the bytes of a call's constants and of the code around it, and the C functions it needs."""
        price = self._price(call, graph)
        return price.flash_bytes, price.symbols

    def of_code(self, symbols: frozenset[str]) -> int:
        """Return the bytes of C functions, with all that comes with them."""
        return _code_bytes(self.table, symbols)

    def flash_bytes(self, graph: Graph, calls: Sequence[KernelCall]) -> int:
        """Return the predicted flash bytes of an image: start-up, kernels, what calls them, weights, other constants.

        Args:
            graph: the lowered graph, with or without data.
            calls: its kernel calls.
        """
        found = [self.of_call(graph, call) for call in calls]
        symbols = frozenset[str]().union(*(symbols for _, symbols in found))
        return self._startup.flash_bytes + self.of_code(symbols) + sum(nbytes for nbytes, _ in found)

    def predict(
        self, graph: Graph, calls: Sequence[KernelCall], arena_bytes: int, stalls: tuple[int, ...]
    ) -> Prediction:
        """Predict an image's figures.

        Args:
            graph: the lowered graph, with or without data.
            calls: its kernel calls.
            arena_bytes: size of the planned arena.
            stalls: what memory adds to each call (``stalls``).
        """
        prices = [self._price(call, graph) for call in calls]
        borders = _rounded(graph.tensors[graph.input].nbytes, _BORDER_ALIGNMENT)
        borders += _rounded(graph.tensors[graph.output].nbytes, _WORD_BYTES)  # the last in RAM
        layer_instructions = tuple(round(each.node.instructions) for each in prices)
        layer_cycles = tuple(round(each.node.cycles) + added for each, added in zip(prices, stalls, strict=True))
        return Prediction(
            flash_bytes=self.flash_bytes(graph, calls),
            ram_bytes=self.board.stack_bytes + arena_bytes + borders + self._startup.ram_bytes,
            instructions=round(self.table.node_instructions * len(calls)) + sum(layer_instructions),
            cycles=round(self.table.node_cycles * len(calls)) + sum(layer_cycles),
            layer_instructions=layer_instructions,
            layer_cycles=layer_cycles,
            layer_memory_cycles=stalls,
        )

    def stalls(
        self, graph: Graph, calls: Sequence[KernelCall], arena_bytes: int, places: Sequence[NodePlaces]
    ) -> tuple[int, ...]:
        """Return the cycles that memory adds to each call.

        Args:
            graph: the lowered graph, with or without data.
            calls: its kernel calls.
            arena_bytes: size of the planned arena.
            places: where each call finds what it reads.
        """
        if self.memory is None:
            return (0,) * len(calls)
        found = []
        for call, at in zip(calls, places, strict=True):
            price = self._price(call, graph)
            found.append(round(price.stalls + self.memory.of_ram(price.node, at, arena_bytes)))
        return tuple(found)

    @property
    def _startup(self) -> StartupCost:
        startups = self.table.startups
        return startups.get(self.board.startup, startups["generic"])  # the others add a few hundred bytes


@lru_cache(maxsize=16)
def of_image(board: Board) -> ImageCost | None:
    """Return what calls take on a board; None when there is no table for its core.

    Raises:
        ConfigError: the table was not fitted for the board's memory system.
    """
    table = load(board.isa)
    if table is None:
        return None
    memory = memory_cycles(board, table)

    def price(call: KernelCall, graph: Graph) -> _CallCost:
        node, constants = node_cost(call, table), constant_bytes(graph, call)
        return _CallCost(
            node=node,
            stalls=0.0 if memory is None else memory.of_constants(node, constants),
            flash_bytes=constants + sum(table.node_bytes[c_call.symbol] for c_call in call.calls),
            symbols=frozenset(c_call.symbol for c_call in call.calls),
        )

    return ImageCost(board, table, memory, once_for_each_object(price))


@lru_cache(maxsize=1024)
def _code_bytes(table: CostTable, symbols: frozenset[str]) -> int:
    code: dict[str, int] = {}
    for symbol in symbols:
        code |= table.functions[symbol]
    return sum(code.values())


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
