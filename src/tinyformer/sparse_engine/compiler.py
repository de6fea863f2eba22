"""The compiler: an int8 QDQ ONNX file in, a bundle of C for a board out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tinyformer import boards, models
from tinyformer.boards import Board
from tinyformer.errors import ConfigError, DoesNotFitError
from tinyformer.sparse_engine import codegen, coding, cycles, elf, frontend, latency, passes
from tinyformer.sparse_engine import toolchain as toolchains
from tinyformer.sparse_engine.bundle import ImageRecord, Manifest, Predicted, describe, files, staged
from tinyformer.sparse_engine.codegen import Buffers, Provenance
from tinyformer.sparse_engine.figures import Analysis, Figures, layer_figures, milliseconds
from tinyformer.sparse_engine.ir import Graph, Shape
from tinyformer.sparse_engine.kernels import Objective, SoftmaxVariant
from tinyformer.sparse_engine.layout import (
    Budget,
    Layout,
    largest_buffers,
    largest_weights,
    lay_out,
    require_fit,
    too_large,
)
from tinyformer.sparse_engine.toolchain import Toolchain, image, port

AUTOMATIC = "auto"


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A bundle on disk."""

    directory: Path
    manifest: Manifest

    @property
    def image(self) -> Path | None:
        """The ELF image, None when none was built."""
        return None if self.manifest.image is None else self.directory / "image" / f"{self.manifest.name}.elf"

    @property
    def flash_bytes(self) -> int | None:
        """Flash of the image, predicted when none was built."""
        built = self.manifest.image
        return self.manifest.predicted.flash_bytes if built is None else built.flash_bytes

    @property
    def ram_bytes(self) -> int:
        """RAM of the image, stack reserve included, predicted when none was built."""
        built = self.manifest.image
        return self.manifest.predicted.ram_bytes if built is None else built.ram_bytes


@dataclass(frozen=True, slots=True)
class Source:
    """The file a graph was read from: its name and digest, and the shapes of its borders without batch."""

    file: str = ""
    sha256: str = ""
    input_shape: Shape | None = None
    output_shape: Shape | None = None


def compile(  # noqa: A001 - the verb of the trade
    path: str | Path,
    board: str | Path | Board,
    out_dir: str | Path,
    *,
    name: str = "model",
    objective: Objective = "balanced",
    toolchain: str | None = AUTOMATIC,
    softmax: SoftmaxVariant = "table",
    labels: Sequence[str] = (),
    flash_limit_bytes: int | None = None,
    ram_limit_bytes: int | None = None,
    latency_limit_ms: float | None = None,
) -> CompiledModel:
    """Compile an int8 QDQ ONNX file into a bundle.

    Args:
        path: the ONNX file, or the name of a model that ships with the project.
        board: a built-in board's name, a TOML file, or a board.
        out_dir: directory to write; an earlier bundle there is replaced.
        name: prefix of the generated files and identifiers.
        objective: "size", "speed" or "balanced".
        toolchain: "zig" or "gcc" builds the image; None does not; "auto" uses zig where it is installed.
        softmax: "table", or "lazy" for the paper's table that is filled on demand.
        labels: names of the classes.
        flash_limit_bytes: allow less flash than the board has.
        ram_limit_bytes: allow less RAM than the board has.
        latency_limit_ms: allow no more estimated latency than this, by prediction.

    Raises:
        UnsupportedModelError: the file holds something the engine does not do.
        DoesNotFitError: it needs more memory or time than allowed; nothing is written.
        ConfigError: a wrong option or output directory.
        ToolchainError: the compiler failed; nothing is written.
    """
    graph, source = read(path)
    return compile_graph(
        graph,
        board,
        out_dir,
        name=name,
        objective=objective,
        toolchain=toolchain,
        softmax=softmax,
        labels=labels,
        flash_limit_bytes=flash_limit_bytes,
        ram_limit_bytes=ram_limit_bytes,
        latency_limit_ms=latency_limit_ms,
        source=source,
    )


def read(path: str | Path) -> tuple[Graph, Source]:
    """Read a model, by path or by name; return its lowered graph, and what the graph no longer tells about the file.

    Raises:
        UnsupportedModelError: the file is missing, broken or holds something the engine does not do.
    """
    file = models.find(path)
    graph = frontend.load(file)
    source = Source(
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        input_shape=graph.tensors[graph.input].shape,
        output_shape=graph.tensors[graph.output].shape,
    )
    return passes.run(graph, passes.PIPELINE), source


def compile_graph(
    graph: Graph,
    board: str | Path | Board,
    out_dir: str | Path,
    *,
    name: str = "model",
    objective: Objective = "balanced",
    toolchain: str | None = AUTOMATIC,
    softmax: SoftmaxVariant = "table",
    labels: Sequence[str] = (),
    flash_limit_bytes: int | None = None,
    ram_limit_bytes: int | None = None,
    latency_limit_ms: float | None = None,
    source: Source | None = None,
    encodings: Mapping[str, tuple[str, int]] | None = None,
) -> CompiledModel:
    """Compile a lowered graph: ``compile`` after the front end.

    ``source`` is the file it came from; ``encodings`` prescribes (encoding, block) for the weights of the nodes it
    names, whatever the objective.
    """
    source = Source() if source is None else source
    codegen.check_name(name)
    target = board if isinstance(board, Board) else boards.load(board)
    _check_labels(graph, labels)
    compiler = _toolchain(toolchain)
    budget = Budget.of(target, flash_limit_bytes, ram_limit_bytes, latency_limit_ms)
    layout = lay_out(graph, target, budget, objective, softmax, encodings=encodings)
    require_fit(layout, budget, name)
    provenance = Provenance(version("tinyformer"), source.sha256, target.name, objective)
    choice = {call.node.name: call.encoding for call in layout.calls if call.encoding is not None}
    generated = codegen.emit(
        graph, layout.calls, layout.plan, coding.encode(graph, choice), name, provenance=provenance, labels=labels
    )
    with staged(Path(out_dir)) as directory:
        files.write(directory, name, generated, port.files(target, name), graph, provenance)
        built = None if compiler is None else _build(directory, target, compiler, name, layout, budget)
        manifest = _manifest(graph, layout, target, name, objective, labels, source, built)
        manifest.save(directory)
    return CompiledModel(Path(out_dir), manifest)


def analyze(
    path: str | Path,
    board: str | Path | Board,
    *,
    objective: Objective = "balanced",
    softmax: SoftmaxVariant = "table",
    flash_limit_bytes: int | None = None,
    ram_limit_bytes: int | None = None,
    latency_limit_ms: float | None = None,
) -> Analysis:
    """Predict what an int8 QDQ ONNX file takes on a board, without building anything.

    Arguments as those of ``compile``.

    Raises:
        UnsupportedModelError: the file holds something the engine does not do.
        ConfigError: a wrong option.
    """
    target = board if isinstance(board, Board) else boards.load(board)
    graph, _ = read(path)
    return analyze_graph(graph, target, objective, softmax, flash_limit_bytes, ram_limit_bytes, latency_limit_ms)


def analyze_graph(
    graph: Graph,
    board: Board,
    objective: Objective = "balanced",
    softmax: SoftmaxVariant = "table",
    flash_limit_bytes: int | None = None,
    ram_limit_bytes: int | None = None,
    latency_limit_ms: float | None = None,
) -> Analysis:
    """Predict what a lowered graph takes: ``analyze`` after the front end."""
    budget = Budget.of(board, flash_limit_bytes, ram_limit_bytes, latency_limit_ms)
    layout = lay_out(graph, board, budget, objective, softmax)
    predicted = layout.predicted
    counts = _layer_instructions(layout)
    records = describe.layers(graph, layout.calls, Buffers.of(graph, layout.plan, ""), counts)
    each = None if predicted is None else latency.predicted_cycles(predicted)
    figures = Figures(
        instructions=None if predicted is None else predicted.instructions,
        cycles_estimated=None if predicted is None else predicted.cycles,
        latency_ms_estimated=None if predicted is None else milliseconds(predicted.cycles, board.clock_hz),
        flash_bytes=None if predicted is None else predicted.flash_bytes,
        ram_bytes=layout.ram_bytes,
        arena_bytes=layout.plan.arena_bytes,
        stack_bytes=board.stack_bytes,
        layers=layer_figures(records, counts, each, board.clock_hz),
        latency_error_percent=cycles.accuracy(board.isa.core).error_percent,
        unvalidated={} if each is None else latency.unvalidated(each, records, board.isa.core),
        memory_counted=board.memory_system is not None,
    )
    return Analysis(figures, budget.flash_bytes, budget.ram_bytes, budget.latency_ms)


def _layer_instructions(layout: Layout) -> tuple[int | None, ...]:
    predicted = layout.predicted
    return (None,) * len(layout.calls) if predicted is None else predicted.layer_instructions


def _toolchain(name: str | None) -> Toolchain | None:
    if name is None or (name == AUTOMATIC and find_spec("ziglang") is None):
        return None
    return toolchains.find("zig" if name == AUTOMATIC else name)


def _check_labels(graph: Graph, labels: Sequence[str]) -> None:
    classes = graph.tensors[graph.output].elements
    if labels and len(labels) != classes:
        raise ConfigError(f"{len(labels)} labels for an output of {classes} values: give one label per class")


def _build(
    directory: Path, board: Board, compiler: Toolchain, name: str, layout: Layout, budget: Budget
) -> ImageRecord:
    """Build the image in a bundle directory and check what it really takes."""
    try:
        built = elf.read(image.build(directory, board, compiler, name).elf)
    except DoesNotFitError as error:
        parts = f"{largest_weights(layout)}; {largest_buffers(layout)}"
        raise DoesNotFitError(f"model '{name}': {error}; {parts}") from error
    ram_bytes = built.ram_static_bytes + built.stack_reserve_bytes
    if built.flash_bytes > budget.flash_bytes:
        raise too_large(layout, "flash", built.flash_bytes, budget.flash_bytes, name)
    if ram_bytes > budget.ram_bytes:
        raise too_large(layout, "RAM", ram_bytes, budget.ram_bytes, name)
    return ImageRecord(
        toolchain=compiler.name,
        toolchain_version=compiler.version(),
        flash_bytes=built.flash_bytes,
        ram_bytes=ram_bytes,
    )


def _manifest(
    graph: Graph,
    layout: Layout,
    board: Board,
    name: str,
    objective: str,
    labels: Sequence[str],
    source: Source,
    built: ImageRecord | None,
) -> Manifest:
    predicted = layout.predicted
    layers = describe.layers(graph, layout.calls, Buffers.of(graph, layout.plan, ""), _layer_instructions(layout))
    return Manifest(
        name=name,
        model_file=source.file,
        model_sha256=source.sha256,
        board=board,
        objective=objective,
        versions={package: version(package) for package in ("tinyformer", "numpy", "onnx")},
        input=describe.border(graph, graph.input, source.input_shape),
        output=describe.border(graph, graph.output, source.output_shape),
        labels=tuple(labels),
        arena=describe.arena(layout.plan),
        layers=layers,
        predicted=Predicted(
            flash_bytes=None if predicted is None else predicted.flash_bytes,
            ram_bytes=layout.ram_bytes,
            instructions=None if predicted is None else predicted.instructions,
            cycles=None if predicted is None else predicted.cycles,
        ),
        image=built,
        constant_instructions=not any(layer.varying for layer in layers),
    )
