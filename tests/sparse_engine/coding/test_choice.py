"""Options and the self-adaptive choice between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import coding
from tinyformer.sparse_engine.coding import BlockDensity, Option
from tinyformer.sparse_engine.ir import Graph, GraphError, Node
from tinyformer.sparse_engine.synthetic import GraphBuilder

SPARSE = [(name, block) for name in ("block_rle", "block_rle4", "block_bitmap") for block in (2, 4)]


def model(sparsity: float, block: int) -> Graph:
    """A convolution, a grouped one, a depthwise one and a linear layer."""
    builder = GraphBuilder((6, 6, 16))
    x = builder.conv2d(builder.input, 24, (3, 3), sparsity=sparsity, block=block)
    x = builder.conv2d(x, 24, (1, 1), groups=2, sparsity=sparsity, block=block)
    x = builder.depthwise(x, (3, 3), sparsity=sparsity, block=3)
    x = builder.lookup(x)
    return builder.finish(builder.linear(x, 40, sparsity=sparsity, block=block))


def by_kind(graph: Graph, found):
    return {node.op.kind + "/" + str(getattr(node.op, "groups", "")): found.get(node.name) for node in graph.nodes}


def test_options_of_every_operator():
    graph = model(0.5, 4)
    found = coding.options(graph)
    labels = {
        kind: options and [(o.encoding, o.block) for o in options] for kind, options in by_kind(graph, found).items()
    }
    assert labels == {
        "conv2d/1": [("dense", 1), *SPARSE],
        "conv2d/2": [("dense", 1)],
        "depthwise_conv2d/": [("dense", 1), ("block_rle", 3), ("block_bitmap", 3)],
        "lookup/": None,
        "linear/": [("dense", 1), *SPARSE],
    }


def test_option_bytes_are_those_of_the_encoded_weights():
    graph = model(0.6, 2)
    found = coding.options(graph)
    for position in range(7):
        choice = {name: options[min(position, len(options) - 1)] for name, options in found.items()}
        for name, encoded in coding.encode(graph, choice).items():
            option = choice[name]
            assert (encoded.encoding, encoded.block, encoded.nbytes) == (option.encoding, option.block, option.nbytes)
            weight = graph.data[next(n for n in graph.nodes if n.name == name).inputs[1]]
            np.testing.assert_array_equal(coding.ENCODINGS[option.encoding].decode(encoded), weight)


@pytest.mark.parametrize("block", [2, 4])
@pytest.mark.parametrize(("code", "threshold"), [("block_rle", 1), ("block_rle4", 0.5), ("block_bitmap", 0.125)])
def test_sparse_only_where_it_is_smaller(code: str, threshold: float, block: int):
    """By Eq. 2 the paper's code, a byte a block, pays above sparsity 1 / (block + 1); a bitmap above 1 / (8 * block).

    Counts and padding shift that a little.
    """
    pays = 0.125 / block if code == "block_bitmap" else threshold / (block + threshold)
    for sparsity, expected in ((pays - 0.05, "dense"), (pays + 0.08, code)):
        graph = model(max(0.0, sparsity), block)
        found = coding.options(graph)
        alone = {name: [o for o in options if o.encoding in {"dense", code}] for name, options in found.items()}
        chosen = by_kind(graph, coding.choose(alone))
        assert chosen["conv2d/1"].encoding == chosen["linear/"].encoding == expected
    assert chosen["conv2d/1"].block == block


@pytest.mark.parametrize(
    ("sparsity", "block", "expected"),
    [
        (0.0, 2, "dense"),
        (0.6, 2, "block_bitmap"),
        (0.7, 4, "block_bitmap"),
        (0.81, 2, "block_rle4"),
        (0.95, 4, "block_rle"),
    ],
)
def test_every_code_is_smallest_somewhere(sparsity: float, block: int, expected: str):
    b = GraphBuilder((1024,))
    graph = b.finish(b.linear(b.input, 60, sparsity=sparsity, block=block))
    (chosen,) = coding.choose(coding.options(graph)).values()
    assert (chosen.encoding, chosen.block) == (expected, 1 if expected == "dense" else block)


def test_the_dense_form_wins_a_tie():
    tied = (Option("dense", 1, 100), Option("block_rle", 2, 100), Option("block_rle", 4, 100))
    assert coding.choose({"a": tied, "b": (*tied, Option("block_rle", 4, 99))}) == {
        "a": tied[0],
        "b": Option("block_rle", 4, 99),
    }


def test_graphs_without_weights():
    graph = model(0.7, 4)
    real = coding.options(graph)
    bare = replace(graph, data={})
    densities = {n.name: BlockDensity(0.7, 3 if n.op.kind.startswith("depthwise") else 4) for n in graph.nodes}
    expected = coding.options(bare, densities)
    assert real.keys() == expected.keys()
    for name, options in real.items():
        for one, other in zip(options, expected[name], strict=True):
            assert (one.encoding, one.block) == (other.encoding, other.block)
            assert one.nbytes == pytest.approx(other.nbytes, rel=0.02)
    dense = coding.options(bare)
    assert all(option.encoding == "dense" for option in coding.choose(dense).values())


def test_what_cannot_be_encoded():
    graph = model(0.5, 2)
    with pytest.raises(GraphError, match="no node 'elsewhere'"):
        coding.encode(graph, {"elsewhere": Option("dense", 1, 1)})
    first = graph.nodes[0].name
    with pytest.raises(GraphError, match="has no data"):
        coding.encode(replace(graph, data={}), {first: Option("dense", 1, 1)})


def test_prescribed_encodings_are_the_only_ones_left() -> None:
    graph = model(0.0, 1)
    found = coding.options(graph)
    conv, linear = (node.name for node in graph.nodes if node.op.kind in {"conv2d", "linear"} and not grouped(node))
    left = coding.prescribe(found, {conv: ("block_rle", 4)})
    assert [(option.encoding, option.block) for option in left[conv]] == [("block_rle", 4)]
    assert left[linear] == found[linear]
    for wanted in ({conv: ("block_rle", 3)}, {"nowhere": ("dense", 1)}):
        with pytest.raises(ConfigError, match="there are"):
            coding.prescribe(found, wanted)


def grouped(node: Node) -> bool:
    return getattr(node.op, "groups", 1) > 1
