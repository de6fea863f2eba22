"""What the commands say of an estimated latency."""

from dataclasses import replace

from engine_models import convolutional_net
from tinyformer import boards
from tinyformer.cli.figures import latency_text, remarks
from tinyformer.sparse_engine.compiler import analyze_graph


def test_a_latency_has_its_band() -> None:
    assert latency_text(12.3456, 15, True) == "12.35 ms estimated, +-15 %"
    assert latency_text(12.3456, None, True) == "12.35 ms estimated, never compared with silicon"
    assert latency_text(None, 15, True) == "unknown"


def test_memory_that_counts_as_free_is_said() -> None:
    assert latency_text(3.2, 15, False) == ("at least 3.2 ms estimated: the core alone (+-15 %), memory counts as free")
    counted = analyze_graph(convolutional_net(), boards.load("stm32f746g-disco")).figures
    free = analyze_graph(convolutional_net(), boards.load("nucleo-h743zi2")).figures
    assert "memory_system" not in remarks(counted)
    assert "names no memory_system" in remarks(free)
    assert "sparse" in remarks(counted)
    assert remarks(replace(counted, unvalidated={})) == ""
