"""Bytes of code: what comes with each kernel, and what an image takes without any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files

import numpy as np
from cost_images import NAME, Model, build
from cost_layers import LAYERS, Constants

from tinyformer.boards import Board
from tinyformer.sparse_engine import cost, elf
from tinyformer.sparse_engine.cost.model import constant_bytes
from tinyformer.sparse_engine.elf import ElfImage


def flash_symbols(built: ElfImage, target: Board) -> dict[str, int]:
    """Return every function and constant in flash that is not the model's.

    A symbol's size is part of its name, because files may have static functions of one name; aliases count once. The
    port's main is left to the base: its size depends on the number of outputs.
    """
    found = {}
    for symbol in (*built.functions, *built.objects):
        own = symbol.name == "main" or symbol.name.startswith(f"{NAME}_")
        if target.flash.contains(symbol.address) and symbol.size and not own:
            found[symbol.address] = (f"{symbol.name} {symbol.size}", symbol.size)
    return dict(found.values())


def single(symbol: str, target: Board) -> Model:
    """Return a model of one layer that uses a kernel."""
    for seed in range(200):
        b = Constants((8,))
        output = LAYERS[symbol](b, np.random.default_rng(seed))
        model = Model.of(b, output, {output: symbol}, target)
        if symbol == model.calls[-1].calls[0].symbol:
            break
    return model


def code(target: Board, symbols: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return symbol -> functions that come with it -> bytes."""
    found = {symbol: flash_symbols(inspect(single(symbol, target), target), target) for symbol in symbols}
    always = set.intersection(*(set(names) for names in found.values()))
    return {s: {n: size for n, size in names.items() if n not in always} for s, names in found.items()}


def inspect(model: Model, target: Board) -> ElfImage:
    """Build a model and return its image."""
    return elf.read(build(model, target))


def startup_cost(target: Board, functions: Mapping[str, Mapping[str, int]]) -> cost.StartupCost:
    """Return what an image takes beside its nodes, on a classifier of ten classes."""
    b = Constants((64,))
    output = b.linear(b.input, 10)
    model = Model.of(b, output, {output: "se_linear_s8"}, target)
    built = inspect(model, target)
    own = sum(s.size for s in built.functions if s.name.startswith(f"{NAME}_"))
    own += sum(constant_bytes(model.graph, call) for call in model.calls)
    own += sum(functions["se_linear_s8"].values())
    borders = sum(-(-model.graph.tensors[n].nbytes // 8) * 8 for n in (model.graph.input, model.graph.output))
    arena = model.plan.arena_bytes
    return cost.StartupCost(built.flash_bytes - own, built.ram_static_bytes - arena - borders)


def runtime_digest() -> str:
    runtime = files("tinyformer.sparse_engine") / "runtime"
    digest = hashlib.sha256()
    for entry in sorted(runtime.iterdir(), key=lambda e: e.name):
        if entry.name.endswith((".c", ".h")):
            digest.update(entry.name.encode() + entry.read_bytes())
    return digest.hexdigest()[:16]


def cycle_rules_digest(core: str) -> str:
    """Return a digest of what the cycle model knows of a core: its rules, and the memory systems."""
    folder = files("tinyformer.sparse_engine.cycles")
    texts = (folder.joinpath("cores", f"{core}.toml"), folder.joinpath("memories.toml"))
    return hashlib.sha256(b"".join(text.read_bytes() for text in texts)).hexdigest()[:16]
