"""The paper's Table I: accuracy on CIFAR-10 and memory of this project's models, the paper's and its peers'.

    python benchmarks/table1.py            # prints the table
    python benchmarks/table1.py --readme   # writes it into README.md, between its markers

Nothing is measured here: the models' figures are those of models/*/result.json, the peers' flash and RAM those of
peers.json, all else is the paper's. Peers are compiled from untrained weights, so their accuracies are the paper's too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- table1:begin -->\n", "<!-- table1:end -->\n"

_KB = 1024
_FLASH_LIMIT, _RAM_LIMIT = 1024 * _KB, 320 * _KB  # of the STM32F746


@dataclass(frozen=True)
class PaperRow:
    """A row of Table I: KB of peak memory, KB of storage, percent; the latency is from Sec. IV's text."""

    name: str
    ram_kb: float
    flash_kb: float
    accuracy: float
    latency: str = ""


PEERS = (
    PaperRow("ResNet-18", 192, 10.66 * 1024, 96.52),
    PaperRow("MobileNetV2", 416, 2.13 * 1024, 94.61),
    PaperRow("MobileViT-XS", 160, 1.91 * 1024, 90.11),
    PaperRow("CCT-7/3x1", 512, 3.52 * 1024, 95.06),
)
OURS = {
    "tinyformer-120k-cifar10": PaperRow("TinyFormer-120K", 120, 0.94 * 1024, 94.52),
    "tinyformer-300k-cifar10": PaperRow("TinyFormer-300K", 300, 0.91 * 1024, 96.10, "3.8 s"),
}


def table() -> str:
    """Return the table as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "| CIFAR-10, int8 | accuracy | flash | RAM | fits an STM32F746 | latency |"
    yield "|---|---|---|---|---|---|"
    for name, paper in OURS.items():
        file = ROOT / "models" / name / "result.json"
        if file.exists():
            yield _model(name, json.loads(file.read_text(encoding="utf-8")))
        flash, ram = _kb(paper.flash_kb), _kb(paper.ram_kb)
        yield f"| {paper.name}, the paper's | {paper.accuracy:.2f} % | {flash} | {ram} | yes | {paper.latency} |"
    ours = {peer["name"]: peer for peer in json.loads((ROOT / "benchmarks" / "peers.json").read_text())["peers"]}
    for paper in PEERS:
        peer = ours[paper.name]
        fits = peer["flash_bytes"] <= _FLASH_LIMIT and peer["ram_bytes"] <= _RAM_LIMIT
        flash = f"{_kb(peer['flash_bytes'] / _KB)} (paper: {_kb(paper.flash_kb)})"
        ram = f"{_kb(peer['ram_bytes'] / _KB)} (paper: {_kb(paper.ram_kb)})"
        yield f"| {paper.name} | {paper.accuracy:.2f} % in the paper | {flash} | {ram} | {'yes' if fits else 'no'} | |"


def _model(name: str, result: dict[str, Any]) -> str:
    accuracy = f"**{100 * result['accuracy']['int8']:.2f} %**"
    flash, ram = _kb(result["flash_bytes"] / _KB), _kb(result["ram_bytes"] / _KB)
    latency = f"{result['latency_ms_estimated']:.0f} ms, estimated"
    return f"| [{name}](models/{name}) | {accuracy} | {flash} | {ram} | yes | {latency} |"


def _kb(kb: float) -> str:
    return f"{kb:.0f} KB" if kb < 1024 else f"{kb / 1024:.2f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    if parser.parse_args().readme:
        text = README.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        README.write_text(before + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8")
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
