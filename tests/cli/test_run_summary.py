"""What ``tinyformer run`` prints in the end, of a searched model and of one that was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinyformer.cli.run_command import show

RESULT: dict[str, Any] = {
    "name": "tiny",
    "board": "stm32f746g-disco",
    "limits": {"flash_bytes": 98304, "ram_bytes": 49152},
    "accuracy": {"float": 0.9, "pruned": 0.91, "int8": 0.912, "device": 0.9, "device_samples": 10},
    "bit_exact": True,
    "nonzero_weights": 1000,
    "weight_sparsity": 0.5,
    "layers": [{"weight_bytes": 10, "macs": 20, "encoding": "block_rle/4"}],
    "flash_bytes": 1024,
    "ram_bytes": 2048,
    "instructions": 123456,
    "latency_ms_estimated": 1.5,
    "latency_error_percent": 15,
    "memory_counted": True,
}


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"candidates_accepted": 3, "candidates_seen": 4}, "3 of 4"),
        ({"start": "before/checkpoint.safetensors"}, "before/checkpoint.safetensors"),
    ],
)
def test_the_summary_says_where_the_model_is_from(
    search: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show({**RESULT, "search": search}, Path("runs/tiny"))
    printed = capsys.readouterr().out
    assert words in printed
    assert "123,456" in printed
    assert "1.5 ms estimated, +-15 %" in printed
    assert "at least" not in printed
    assert "learnt from" not in printed


def test_the_summary_says_what_it_learnt_from(capsys: pytest.CaptureFixture[str]) -> None:
    search = {"candidates_accepted": 3, "candidates_seen": 4}
    show({**RESULT, "search": search, "teacher": {"file": "big.safetensors", "sha256": "f00d"}}, Path("runs/tiny"))
    printed = capsys.readouterr().out
    assert "learnt from" in printed
    assert "big.safetensors" in printed
