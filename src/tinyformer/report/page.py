"""The report page: what a run or a bundle came to, as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from tinyformer.report import charts
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.figures import milliseconds

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """One headline figure."""

    label: str
    value: str
    note: str = ""
    state: str = ""
    bar: Markup | str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a picture, a table and a remark, each optional."""

    heading: str
    picture: Markup | str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    text_columns: tuple[int, ...] = (0,)
    note: str = ""


def render(manifest: Manifest, figures: Json | None = None, result: Json | None = None) -> str:
    """Return the page.

    Args:
        manifest: of the bundle.
        figures: of ``profile`` (design of ``profile --json``); predicted figures of the manifest when missing. What
            ``profile --port`` measured among them is shown beside the estimates.
        result: a run's ``result.json``, when the bundle came out of a run.
    """
    environment = Environment(
        loader=PackageLoader("tinyformer.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    measured = result or figures
    port = figures if figures and "cycles_measured" in figures else None
    sections = [_layers(manifest, measured, port), _memory(manifest), _encodings(manifest)]
    if result is not None:
        sections = [_accuracy(result), *sections, *_search(result), *_training(result)]
    sections.append(_versions(manifest, result))
    board = manifest.board
    return environment.get_template("page.html.j2").render(
        title=f"{manifest.name} on {board.title}",
        lead=f"{board.isa.core} at {board.clock_hz / 1e6:.0f} MHz; figures are "
        + ("of the compiled image in the emulator" if measured else "predicted: nothing was built"),
        cards=_cards(manifest, measured, result, port),
        sections=sections,
    )


def _kilobytes(nbytes: float) -> str:
    return f"{nbytes / 1024:.1f} KB"


def _budget(label: str, used: int | None, limit: int) -> Card:
    if used is None:
        return Card(label, "unknown", "no cost table for this core")
    state = "bad" if used > limit else ""
    return Card(label, _kilobytes(used), f"of {_kilobytes(limit)}", state, charts.budget_bar(used, limit))


def _latency(manifest: Manifest, measured: Json | None, limit_ms: float | None) -> Card:
    figure = (measured or {}).get("latency_ms_estimated")
    if figure is None:
        known = manifest.predicted.cycles
        predicted = "unknown" if known is None else f"{milliseconds(known, manifest.board.clock_hz):.4g} ms"
        return Card("Latency, predicted", predicted, "profile the bundle for what its image takes")
    band = (measured or {}).get("latency_error_percent")
    note = "never compared with silicon" if band is None else f"+-{band} %"
    if manifest.board.memory_system is None:
        note += " for the core alone: no caches and wait states are known for this board, real latency is higher"
    if limit_ms is not None:
        note += f"; of {limit_ms:g} ms"
    share = sum(((measured or {}).get("unvalidated") or {}).values())
    if band is not None and share:
        note += f"; {share:.0%} in kernels that no published measurement validates"
    state = "bad" if limit_ms is not None and figure > limit_ms else ""
    return Card("Latency, estimated", f"{figure:.4g} ms", note, state)


def _on_the_board(port: Json) -> Card:
    cycles = port["cycles_measured"]
    note = f"{cycles:,} cycles; the estimate is off by {_deviation(port['cycles_estimated'], cycles)}"
    return Card("Latency, measured on the board", f"{port['latency_ms_measured']:.4g} ms", note)


def _deviation(estimated: int | None, measured: int) -> str:
    return "" if estimated is None or not measured else f"{estimated / measured - 1:+.1%}"


def _cards(manifest: Manifest, measured: Json | None, result: Json | None, port: Json | None) -> list[Card]:
    board, predicted = manifest.board, manifest.predicted
    limits = (result or {}).get("limits", {})
    flash = measured["flash_bytes"] if measured else predicted.flash_bytes
    ram = measured["ram_bytes"] if measured else predicted.ram_bytes
    instructions = measured["instructions"] if measured else predicted.instructions
    cards = [
        _budget("Flash", flash, limits.get("flash_bytes", board.flash.size_bytes)),
        _budget("RAM", ram, limits.get("ram_bytes", board.ram.size_bytes)),
        Card("Instructions per inference", "unknown" if instructions is None else f"{instructions:,}"),
        _latency(manifest, measured, limits.get("latency_ms")),
        *(() if port is None else (_on_the_board(port),)),
    ]
    macs = sum(layer.macs for layer in manifest.layers)
    effective = sum(layer.effective_macs for layer in manifest.layers)
    cards.append(Card("Multiply-accumulates", f"{effective:,}", f"not zero, of {macs:,}"))
    if result is not None:
        accuracy = result["accuracy"]
        cards.insert(
            0, Card("Accuracy on the core", f"{accuracy['device']:.2%}", f"{accuracy['device_samples']} images")
        )
        exact = bool(result["bit_exact"])
        cards.append(
            Card(
                "Reference = host C = core",
                "bit-exact" if exact else "NOT equal",
                "every output integer",
                "good" if exact else "bad",
            )
        )
    return cards


def _accuracy(result: Json) -> Section:
    accuracy = result["accuracy"]
    rows = (
        ("float, dense", f"{accuracy['float']:.2%}", "the trained single-path model before pruning"),
        ("float, pruned", f"{accuracy['pruned']:.2%}", "after gradual pruning and fine-tuning"),
        ("int8, compiled C on the host", f"{accuracy['int8']:.2%}", "the whole test split"),
        (
            "int8, emulated core",
            f"{accuracy['device']:.2%}",
            f"{accuracy['device_samples']} images of the test split",
        ),
    )
    return Section("Accuracy", columns=("model", "accuracy", "over"), rows=rows, text_columns=(0, 2))


def _layers(manifest: Manifest, measured: Json | None, port: Json | None) -> Section:
    on_board = {layer["name"]: layer["cycles_measured"] for layer in port["layers"]} if port else {}
    counted = {layer["name"]: layer for layer in measured["layers"]} if measured else {}
    rows = []
    costs = [_cost(counted.get(layer.name), layer.instructions_predicted) for layer in manifest.layers]
    total, largest = sum(costs) or 1, max(costs, default=0)
    for layer, cost in zip(manifest.layers, costs, strict=True):
        figures = counted.get(layer.name) or {}
        instructions = figures.get("instructions", layer.instructions_predicted) or 0
        cycles = figures.get("cycles_estimated")
        rows.append(
            (
                layer.index,
                layer.name,
                layer.kernel,
                "x".join(map(str, layer.output_shape)),
                f"{instructions:,}",
                "" if cycles is None else f"{cycles:,}",
                "" if cycles is None else f"{figures['latency_ms_estimated']:.3f}",
                charts.share_bar(cost, largest),
                f"{cost / total:.1%}",
                figures.get("bound") or "",
                f"{layer.macs:,}" if layer.macs else "",
                f"{layer.effective_macs / layer.macs:.0%}" if layer.macs else "",
                f"{cost / layer.effective_macs:.2f}" if layer.effective_macs else "",
                *_beside(cycles, on_board, layer.name),
            )
        )
    columns = (
        *("step", "layer", "kernel", "output", "instructions", "cycles, estimated", "ms, estimated", "", "share"),
        *("bound by", "MACs", "not zero", "per MAC", *(("cycles, measured", "estimate off by") if on_board else ())),
    )
    note = "Instructions are predicted."
    if measured:
        note = "Instructions are exact counts of the emulated core; cycles and milliseconds come from a model of it."
    if on_board:
        note += " Measured cycles are those of the board's own counter."
    return Section("Layers", columns=columns, rows=tuple(rows), text_columns=(1, 2, 3, 9), note=note)


def _beside(estimated: int | None, on_board: Mapping[str, int], name: str) -> tuple[str, ...]:
    """Return the cells of what a board measured for a layer; none where nothing was measured."""
    if name not in on_board:
        return ("", "") if on_board else ()
    return f"{on_board[name]:,}", _deviation(estimated, on_board[name])


def _cost(figures: Json | None, predicted: int | None) -> int:
    """Return a layer's estimated cycles, its instructions where these are not known."""
    return (figures or {}).get("cycles_estimated") or (figures or {}).get("instructions", predicted) or 0


def _memory(manifest: Manifest) -> Section:
    arena = manifest.arena
    boxes = [charts.Rectangle(p.name, p.kind, p.first, p.last, p.offset, p.nbytes) for p in arena.placements]
    over = arena.arena_bytes / arena.lower_bound_bytes - 1 if arena.lower_bound_bytes else 0.0
    return Section(
        "Memory map over time",
        picture=charts.memory_map(boxes, arena.arena_bytes, len(manifest.layers)),
        note=f"Arena {arena.arena_bytes:,} bytes by the {arena.planner} planner, {over:.1%} over the lower bound of "
        f"{arena.lower_bound_bytes:,} bytes. Blue: activations; orange: scratch. One column per layer.",
    )


def _encodings(manifest: Manifest) -> Section:
    weighted = [layer for layer in manifest.layers if layer.weight_bytes]
    rows = tuple(
        (layer.name, layer.encoding, f"{layer.weight_bytes:,}", f"{layer.sparsity:.0%}", layer.why)
        for layer in weighted
    )
    total = sum(layer.weight_bytes for layer in weighted)
    return Section(
        "Weights",
        columns=("layer", "encoding", "bytes", "zero", "why"),
        rows=rows,
        text_columns=(0, 1, 4),
        note=f"{total:,} bytes of weights in all, headers included.",
    )


def _search(result: Json) -> Sequence[Section]:
    search = result.get("search") or {}
    plain = {key: value for key, value in search.items() if isinstance(value, (int, float, str))}
    rows = tuple((key.replace("_", " "), value) for key, value in plain.items())
    sections = [Section("Search", columns=("what", "figure"), rows=rows)] if rows else []
    scored = [trial for trial in search.get("trials", ()) if trial.get("accuracy") is not None]
    if len(scored) > 1:
        best, running = 0.0, []
        for trial in scored:
            best = max(best, float(trial["accuracy"]))
            running.append(best)
        label = "best validation accuracy over finished candidates"
        sections.append(Section("Best candidate so far", picture=charts.curve(running, label), note=label))
    return sections


def _training(result: Json) -> Sequence[Section]:
    epochs = result.get("training", ())
    accuracies = [row["validation_accuracy"] for row in epochs if row["validation_accuracy"] is not None]
    if len(accuracies) < 2:
        return ()
    hours = sum(row["seconds"] for row in epochs) / 3600
    note = (
        f"Accuracy on the validation split after each of {len(epochs)} epochs ({hours:.1f} hours); the last "
        f"{accuracies[-1]:.2%}. Sparsity rises meanwhile."
    )
    return (Section("Fine-tuning", picture=charts.curve(accuracies, "validation accuracy over epochs"), note=note),)


def _versions(manifest: Manifest, result: Json | None) -> Section:
    rows = [(name, version) for name, version in sorted(manifest.versions.items())]
    if manifest.image is not None:
        rows.append((manifest.image.toolchain, manifest.image.toolchain_version))
    if result is not None:
        known = {name for name, _ in rows}
        rows += [(k, v) for k, v in sorted(result.get("versions", {}).items()) if k not in known]
        rows.append(("seed", str(result["seed"])))
        if result.get("teacher") is not None:
            rows += [("teacher", result["teacher"]["file"]), ("teacher SHA-256", result["teacher"]["sha256"])]
    rows.append(("model SHA-256", manifest.model_sha256))
    return Section("Made with", columns=("what", "version"), rows=tuple(rows), text_columns=(0, 1))
