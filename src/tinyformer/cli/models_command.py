"""``tinyformer models``: the models that ship with the project."""

from __future__ import annotations

import typer

from tinyformer import models
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(list_models)


def list_models(json: JsonFlag = False) -> None:
    """List the models that ship with the project; their names work wherever a model file does."""
    found = [(model, model.result()) for model in models.shipped()]
    if json:
        print_json(
            {
                "models": [
                    {
                        "name": model.name,
                        "file": model.file,
                        "board": result["board"],
                        "accuracy": result["accuracy"],
                        "flash_bytes": result["flash_bytes"],
                        "ram_bytes": result["ram_bytes"],
                        "nonzero_weights": result["nonzero_weights"],
                        "instructions": result["instructions"],
                        "latency_ms_estimated": result["latency_ms_estimated"],
                    }
                    for model, result in found
                ]
            }
        )
        return
    rows = [
        (
            model.name,
            result["board"],
            f"{result['accuracy']['int8']:.2%}",
            kilobytes(result["flash_bytes"]),
            kilobytes(result["ram_bytes"]),
            f"{result['nonzero_weights']:,}",
            f"{result['instructions']:,}",
        )
        for model, result in found
    ]
    columns = ("name", "board", "int8 accuracy", "flash", "RAM", "weights not zero", "instructions")
    console().print(table("", columns, rows, left=2) if rows else "no model ships with this installation")
