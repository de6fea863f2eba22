"""Kernel calls: what the generated C does for one node, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Node

ParamValue = int | tuple[int, ...]
Params = tuple[tuple[str, ParamValue], ...]


@dataclass(frozen=True, slots=True)
class TensorArgument:
    """A pointer to a tensor of the graph: an activation, or the plain array of a constant.

    It points ``offset`` elements beyond the tensor's first, and ``steps`` further with each turn of the call's loops.
    """

    name: str
    offset: int = 0
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightsArgument:
    """A pointer to a node's encoded weights: the dense array, or a ``se_block_weights``."""


@dataclass(frozen=True, slots=True)
class ScratchArgument:
    """A pointer to the node's scratch, ``offset`` bytes in; null when it needs none."""

    offset: int = 0


@dataclass(frozen=True, slots=True)
class IntegerArgument:
    """An int32_t passed by value."""

    value: int


Argument = TensorArgument | WeightsArgument | ScratchArgument | IntegerArgument


@dataclass(frozen=True, slots=True)
class CCall:
    """One call of a function of ``runtime/se_kernels.h``.

    ``params`` are the fields of the constant struct ``params_type``, which is the first argument; ``arguments`` are
    the others, in order. Functions without a struct have ``params_type`` None.

    ``loops`` are the numbers of turns of the loops around the call, the outermost first. Neighbours with equal loops
    run in one nest, one after the other in each turn.
    """

    symbol: str
    arguments: tuple[Argument, ...]
    params_type: str | None = None
    params: Params = ()
    loops: tuple[int, ...] = ()

    @property
    def times(self) -> int:
        """How often it is called."""
        return prod(self.loops)

    def param(self, name: str) -> int:
        """Return the value of one scalar parameter."""
        for field, value in self.params:
            if field == name and isinstance(value, int):
                return value
        raise KeyError(f"{self.symbol} has no scalar parameter '{name}'")

    def with_param(self, name: str, value: int) -> CCall:
        """Return the call with another value of a parameter, unchanged where it has none of that name."""
        return replace(self, params=tuple((field, value if field == name else old) for field, old in self.params))


@dataclass(frozen=True, slots=True)
class KernelCall:
    """How one node is computed: C calls in order, with one scratch buffer among them.

    ``encoding`` is the chosen weight encoding, None for nodes without weights; ``why`` says in words why it was
    chosen. ``overwrites`` names the inputs of which the kernel allows that the output lies in the same bytes.
    ``alternatives`` compute the same by fewer instructions with more scratch, the least scratch first.
    """

    node: Node
    calls: tuple[CCall, ...]
    encoding: Option | None = None
    scratch_bytes: int = 0
    why: str = ""
    overwrites: tuple[str, ...] = ()
    alternatives: tuple[KernelCall, ...] = ()

    @property
    def encoding_name(self) -> str:
        """The encoding in short, such as ``dense`` or ``block_rle/4``; empty for nodes without weights."""
        if self.encoding is None:
            return ""
        return self.encoding.encoding + (f"/{self.encoding.block}" if self.encoding.block > 1 else "")

    @property
    def symbol(self) -> str:
        """The C function that does the node's work: the one that reads its weights, else the last one called."""
        return self._main.symbol

    @property
    def params_type(self) -> str | None:
        """The parameter struct of that function."""
        return self._main.params_type

    @property
    def params(self) -> Params:
        """The parameters of that function."""
        return self._main.params

    @property
    def _main(self) -> CCall:
        weighted = (call for call in self.calls if any(isinstance(a, WeightsArgument) for a in call.arguments))
        return next(weighted, self.calls[-1])
