"""Boards: a board is data. Built-in ones are in boards.toml; a user's own TOML file works too."""

from tinyformer.boards.board import ISA_OPTIONS, QEMU_MACHINES, STARTUPS, Board, Isa, Memory
from tinyformer.boards.catalogue import load, names

__all__ = ["ISA_OPTIONS", "QEMU_MACHINES", "STARTUPS", "Board", "Isa", "Memory", "load", "names"]
