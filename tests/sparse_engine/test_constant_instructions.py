"""The guaranteed latency: every kernel and whole models execute the same instructions, whatever the input."""

import numpy as np
import pytest

from engine_models import convolutional_net, transformer_net, zoo
from tinyformer import boards
from tinyformer.sparse_engine import deployment
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.synthetic import GraphBuilder

pytestmark = pytest.mark.emulator

BIG = boards.load("mps2-an500")
NETS = {"convolutional": convolutional_net, "transformer": transformer_net, "all operators": lambda: zoo()[0]}
BOARDS = ("mps2-an500", "nucleo-l4r5zi", "nucleo-f103rb", "rpi-pico", "rpi-pico2")


def extreme_and_random(graph: Graph) -> np.ndarray:
    """Constants at and near the ends of int8, alternating and rising values, sparse spikes, and noise."""
    shape = graph.tensors[graph.input].shape
    size = int(np.prod(shape))
    rng = np.random.default_rng(5)
    rising = np.arange(size) % 256 - 128
    spikes = np.where(rng.random(size) < 0.01, 127, -128)
    inputs = [
        *(np.full(size, value) for value in (-128, -127, -1, 0, 1, 126, 127)),
        *(np.where(np.arange(size) % 2, 127, -128), rising, rising[::-1], spikes),
        *(rng.integers(-128, 128, size) for _ in range(4)),
    ]
    return np.stack(inputs).reshape(len(inputs), *shape).astype(np.int8)


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("net", NETS)
def test_every_input_takes_the_same_instructions(net, board, tmp_path):
    graph = NETS[net]()
    target = BIG if board == BIG.name or net == "all operators" else boards.load(board)
    if net == "all operators" and board != BIG.name:
        pytest.skip("all operators at once fit the largest board only")
    compiled = compile_graph(graph, target, tmp_path / "bundle", objective="size")
    emulation = deployment.run(compiled.directory, compiled.manifest, extreme_and_random(graph))
    assert len(set(emulation.instructions_each)) == 1, emulation.instructions_each
    assert compiled.manifest.constant_instructions
    assert all(layer.varying == "" for layer in compiled.manifest.layers)


@pytest.fixture(scope="module")
def lazy(tmp_path_factory):
    builder = GraphBuilder((4, 300), seed=3, name="lazy")
    graph = builder.finish(builder.softmax(builder.input))
    return compile_graph(graph, BIG, tmp_path_factory.mktemp("lazy") / "bundle", softmax="lazy")


def lazy_instructions(lazy, rows: np.ndarray) -> int:
    return deployment.run(lazy.directory, lazy.manifest, rows.astype(np.int8)[np.newaxis]).instructions


def test_lazy_softmax_states_its_worst_case(lazy):
    assert not lazy.manifest.constant_instructions
    assert [layer.varying for layer in lazy.manifest.layers] == [
        "each exponential is computed when it is first needed: in the worst case 256, when the inputs lie at that many"
        " different distances from the maxima of their rows"
    ]


def test_worst_case_of_the_lazy_softmax_is_what_is_stated(lazy):
    """Every distance takes the most, but for the order in which they come (0.1 %); a constant input takes least."""
    every = np.tile(np.arange(300) % 256 - 128, (4, 1))
    worst = lazy_instructions(lazy, every)
    rng = np.random.default_rng(0)
    others = [rng.integers(-128, 128, (4, 300)) for _ in range(3)] + [np.zeros((4, 300)), every[::-1, ::-1]]
    counts = [lazy_instructions(lazy, rows) for rows in others]
    assert max(counts) <= worst * 1.001
    assert counts[3] < worst * 0.8
