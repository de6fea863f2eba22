"""What ``tinyformer search`` prints in the end."""

from __future__ import annotations

from typing import Any

import pytest

from tinyformer.cli.search_command import show

FOUND: dict[str, Any] = {
    "space": "digits",
    "acceptance": 0.985,
    "supernets_seen": 3,
    "supernets_accepted": 2,
    "supernet_accuracy": 0.18607305828481913,
    "screening": None,
    "candidates_seen": 5,
    "candidates_accepted": 4,
    "best_candidate": 1,
    "front": [
        {"model": "front/candidate-0001.onnx", "accuracy": 0.9909, "flash_bytes": 2048, "ram_bytes": 1024},
        {
            "model": "front/candidate-0003.onnx",
            "accuracy": 0.98,
            "flash_bytes": 1024,
            "ram_bytes": 512,
            "latency_ms": 5.46,
        },
    ],
}


def lines_of(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    show(found)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_summary_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(FOUND, capsys)
    assert "search space digits, 98.5% of its models suit the limits" in lines
    assert "supernets accepted 2 of 3" in lines
    assert "accuracy of the best one's paths 18.6%" in lines
    assert "candidates trained 4 of 5" in lines
    assert "front/candidate-0001.onnx 99.09% 2.0 KB 1.0 KB unknown" in lines
    assert "front/candidate-0003.onnx 98.00% 1.0 KB 0.5 KB 5.5 ms" in lines
    assert not any("screened" in line for line in lines)


def test_the_summary_counts_what_was_screened(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of({**FOUND, "screening": {"seen": 12, "accepted": 9}}, capsys)
    assert "candidates screened that fit 9 of 12" in lines
