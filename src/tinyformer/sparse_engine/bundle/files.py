"""The files of a bundle that are not the manifest: C, runtime, port, golden vectors, graph."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from tinyformer.sparse_engine import graph_file
from tinyformer.sparse_engine.bundle import golden
from tinyformer.sparse_engine.codegen import Provenance
from tinyformer.sparse_engine.ir import Graph

RUNTIME_DIRECTORY = "runtime"
PORT_DIRECTORY = "port"
EXAMPLE_DIRECTORY = "example"
GRAPH_FILE = "graph.npz"
_GRAPH_TEXT_FILE = "graph.txt"


def write(
    directory: Path,
    name: str,
    generated: Mapping[str, str],
    port: Mapping[str, str],
    graph: Graph,
    provenance: Provenance,
) -> None:
    """Fill an empty directory.

    Args:
        directory: where to.
        name: the model's prefix.
        generated: from ``codegen.emit``.
        port: start-up code, board support and linker script, by file name.
        graph: the lowered graph, which the reference interpreter reads back.
        provenance: what the files were made from.
    """
    runtime = files("tinyformer.sparse_engine") / RUNTIME_DIRECTORY
    sources = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(runtime.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith((".c", ".h"))
    }
    _write_texts(directory, generated)
    _write_texts(directory / RUNTIME_DIRECTORY, sources)
    _write_texts(directory / PORT_DIRECTORY, port)
    variables = {
        "name": name,
        "upper": name.upper(),
        "provenance": provenance.lines(),
        "input_bytes": graph.tensors[graph.input].nbytes,
    }
    example = {"main.c": _rendered("example.c.j2", variables)}
    _write_texts(directory / EXAMPLE_DIRECTORY, example)
    cmake = _rendered("CMakeLists.txt.j2", variables)
    _write_texts(directory, {"CMakeLists.txt": cmake, _GRAPH_TEXT_FILE: graph.to_text()})
    graph_file.save(graph, directory / GRAPH_FILE)
    golden.write(graph, directory)


def _write_texts(directory: Path, texts: Mapping[str, str]) -> None:
    directory.mkdir(exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")


def _rendered(template: str, variables: Mapping[str, object]) -> str:
    text = (files("tinyformer.sparse_engine.bundle") / template).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - not HTML
    return environment.from_string(text).render(**variables)
