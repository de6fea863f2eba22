"""The catalogue, data movement and the selection of encodings."""

import re
from dataclasses import replace
from importlib.resources import files
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyformer import boards
from tinyformer.errors import ConfigError, UnsupportedModelError
from tinyformer.sparse_engine import coding, cost, kernels, ops
from tinyformer.sparse_engine.kernels import movement
from tinyformer.sparse_engine.kernels.packed import UNPACKED_BYTES
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.synthetic import GraphBuilder

BOARD = boards.load("stm32f746g-disco")
HEADER = (files("tinyformer.sparse_engine") / "runtime" / "se_kernels.h").read_text()


def select(graph, objective="size", **options):
    return kernels.select(graph, coding.options(graph), BOARD, objective, **options)


def struct_fields(name):
    body = re.search(r"typedef struct \{([^}]*)\} " + name + ";", HEADER).group(1)
    declarations = re.sub(r"/\*.*?\*/|\[\d+\]", "", body, flags=re.S)
    return set(re.findall(r"(\w+)(?=[,;])", declarations))


def argument_names(symbol):
    text = re.search(symbol + r"\(([^)]*)\);", HEADER).group(1)
    return [part.split()[-1].lstrip("*") for part in text.split(",")]


def single_operators():
    image, tokens = (6, 5, 8), (3, 7, 8)
    builders = {
        "conv2d": (image, lambda b: b.conv2d(b.input, 4, (3, 3))),
        "pointwise": (image, lambda b: b.conv2d(b.input, 4, (1, 1))),
        "depthwise": (image, lambda b: b.depthwise(b.input, (3, 3))),
        "linear": (tokens, lambda b: b.linear(b.input, 4)),
        "matmul": (tokens, lambda b: b.matmul(b.input, b.input, transpose_b=True)),
        "softmax": (tokens, lambda b: b.softmax(b.input)),
        "layer_norm": (tokens, lambda b: b.layer_norm(b.input)),
        "add": (tokens, lambda b: b.add(b.input, b.input)),
        "mul": (tokens, lambda b: b.mul(b.input, b.constant((8,)))),
        "lookup": (tokens, lambda b: b.lookup(b.input)),
        "max_pool": (image, lambda b: b.max_pool(b.input, (2, 2), (2, 2))),
        "avg_pool": (image, lambda b: b.avg_pool(b.input, (2, 2), (2, 2), (1, 1, 0, 0))),
        "transpose": (tokens, lambda b: b.transpose(b.input, (2, 0, 1))),
        "slice": (tokens, lambda b: b.slice(b.input, (0, 1, 0), (3, 2, 4), (1, 3, 2))),
        "concat": (tokens, lambda b: b.concat([b.input, b.input], 1)),
        "pad": (tokens, lambda b: b.pad(b.input, (0, 1, 2), (1, 0, 0))),
    }
    for name, (shape, build) in builders.items():
        builder = GraphBuilder(shape)
        yield pytest.param(builder.finish(build(builder)), id=name)


@pytest.mark.parametrize("graph", single_operators())
def test_calls_match_the_c_header(graph):
    for kernel_call in select(graph):
        for call in kernel_call.calls:
            names = argument_names(call.symbol)
            if call.params_type is not None:
                assert {name for name, _ in call.params} <= struct_fields(call.params_type)
                assert names.pop(0) == "p"
            assert len(call.arguments) == len(names)
            kinds = [type(argument) for argument in call.arguments]
            expected = {
                "scratch": kernels.ScratchArgument,
                "weights": kernels.WeightsArgument,
                "elements": kernels.IntegerArgument,
                "value": kernels.IntegerArgument,
            }
            assert kinds == [expected.get(name, kernels.TensorArgument) for name in names]


@pytest.mark.parametrize("graph", single_operators())
def test_every_field_is_given_that_a_kernel_may_read(graph):
    unread = {
        "se_depthwise_conv2d_s8": {"pixels", UNPACKED_BYTES},
        "se_conv2d_s8": {UNPACKED_BYTES},
        "se_linear_s8": {UNPACKED_BYTES},
        "se_max_pool2d_s8": {"input_zero_point", "output_zero_point", "left_shift", "per_count"},
    }
    for kernel_call in select(graph):
        for call in kernel_call.calls:
            if call.params_type is not None:
                given_fields = {name for name, _ in call.params}
                assert struct_fields(call.params_type) - given_fields == unread.get(call.symbol, set())


def test_reshape_gives_no_call():
    builder = GraphBuilder((4, 6))
    graph = builder.finish(builder.lookup(builder.reshape(builder.input, (24,))))
    assert [call.symbol for call in select(graph)] == ["se_lookup_s8"]


def test_pointwise_convolution_runs_over_pixels():
    builder = GraphBuilder((5, 7, 8))
    (call,) = select(builder.finish(builder.conv2d(builder.input, 3, (1, 1))))
    assert call.symbol == "se_linear_s8"
    assert dict(call.params)["rows"] == 35


@pytest.mark.parametrize(
    "attributes", [{"stride": (2, 2)}, {"padding": (1, 1, 0, 0)}, {"groups": 2}, {"stride": (1, 2)}]
)
def test_other_1x1_convolutions_stay_convolutions(attributes):
    builder = GraphBuilder((6, 6, 8))
    (call,) = select(builder.finish(builder.conv2d(builder.input, 4, (1, 1), **attributes)))
    assert call.symbol == "se_conv2d_s8"


@pytest.mark.parametrize(
    ("features", "sparsity", "symbol"),
    [
        (64, 0.0, "se_linear_s8"),
        (64, 0.7, "se_linear_bitmap_block4_s8"),
        (64, 0.95, "se_linear_bitmap_block4_s8"),  # filters of 16 blocks: their bits are no more than a count
        (1024, 0.95, "se_linear_block4_s8"),
    ],
)
def test_size_takes_the_fewest_bytes(features, sparsity, symbol):
    builder = GraphBuilder((4, features))
    graph = builder.finish(builder.linear(builder.input, 32, sparsity=sparsity, block=4))
    (call,) = select(graph)
    smallest = min(option.nbytes for option in coding.options(graph)[call.node.name])
    assert call.symbol == symbol
    assert call.encoding.nbytes == smallest
    assert call.why.startswith(f"size: best of dense {32 * features} B, ")


def test_speed_and_balanced_follow_the_prediction():
    builder = GraphBuilder((4, 64))
    graph = builder.finish(builder.linear(builder.input, 32, sparsity=0.5, block=4))
    nbytes = {(option.encoding, option.block): option.nbytes for option in coding.options(graph)["linear_0"]}
    speeds = {"se_linear_s8": 90.0, "se_linear_block2_s8": 100.0, "se_linear_block4_s8": 95.0}
    predict = lambda call: speeds.get(call.symbol, 150.0)  # noqa: E731
    (fast,) = select(graph, "speed", predict=predict)
    (balanced,) = select(graph, "balanced", predict=predict)
    assert fast.symbol == "se_linear_s8"
    assert nbytes["block_rle", 4] * 95 < nbytes["dense", 1] * 90
    assert balanced.symbol == "se_linear_block4_s8"
    assert "block_rle/4" in balanced.why
    assert "95 instructions" in balanced.why


def test_less_scratch_on_demand():
    builder = GraphBuilder((8, 7))
    graph = builder.finish(builder.linear(builder.input, 32, sparsity=0.5, block=4))
    (free,) = select(graph)
    assert free.scratch_bytes > 56
    (tight,) = select(graph, scratch_limit_bytes=0)
    assert tight.scratch_bytes == min(
        kernels.select(graph, {free.node.name: (option,)}, BOARD, scratch_limit_bytes=0)[0].scratch_bytes
        for option in coding.options(graph)[free.node.name]
    )


def test_the_widest_strip_that_the_limit_allows():
    builder = GraphBuilder((9, 12))
    graph = builder.finish(builder.linear(builder.input, 32))
    for limit_bytes, pixels, scratch_bytes in ((None, 8, 192), (192, 8, 192), (191, 4, 96), (0, 4, 96)):
        (call,) = select(graph, scratch_limit_bytes=limit_bytes)
        assert (dict(call.params)["pixels"], call.scratch_bytes) == (pixels, scratch_bytes)


def test_strips_are_narrow_without_a_dsp_extension():
    builder = GraphBuilder((9, 12))
    graph = builder.finish(builder.linear(builder.input, 32))
    (call,) = kernels.select(graph, coding.options(graph), boards.load("rpi-pico"))
    assert (dict(call.params)["pixels"], call.scratch_bytes) == (4, 96)


def test_softmax_variant():
    builder = GraphBuilder((3, 10))
    graph = builder.finish(builder.softmax(builder.input))
    assert [call.symbol for call in select(graph)] == ["se_softmax_s8"]
    assert [call.symbol for call in select(graph, softmax="lazy")] == ["se_softmax_lazy_s8"]


@pytest.mark.parametrize(
    ("objective", "options", "words"),
    [("small", {}, "size, speed, balanced"), ("speed", {}, "cost table"), ("size", {"softmax": "fast"}, "table, lazy")],
)
def test_wrong_options(objective, options, words):
    builder = GraphBuilder((3, 10))
    graph = builder.finish(builder.softmax(builder.input))
    with pytest.raises(ConfigError, match=words):
        select(graph, objective, **options)


def test_moving_more_than_four_axes_is_refused():
    builder = GraphBuilder((2, 3, 2, 3, 2))
    graph = builder.finish(builder.transpose(builder.input, (4, 3, 2, 1, 0)))
    with pytest.raises(UnsupportedModelError, match="5 separate axes"):
        select(graph)


def test_a_graph_without_data_or_scales_is_selected_too():
    builder = GraphBuilder((5, 5, 8))
    graph = builder.finish(builder.conv2d(builder.input, 4, (3, 3)))
    (node,) = graph.nodes
    bare = graph.with_(data={}, nodes=[type(node)(node.name, ops.Conv2D(), node.inputs, node.output)])
    density = {node.name: coding.BlockDensity(0.7, 4)}
    (call,) = kernels.select(bare, coding.options(bare, density), BOARD)
    assert call.symbol == "se_conv2d_bitmap_block4_s8"
    assert dict(call.params)["left_shift"] == 0


def packed_layer(filters):
    """A convolution of 36 blocks in each filter, half of them zero, and its options."""
    b = GraphBuilder((9, 9, 16))
    graph = b.finish(b.conv2d(b.input, filters, (3, 3), sparsity=0.5, block=4))
    return graph, coding.options(graph)["conv2d_0"]


@pytest.mark.parametrize("code", ["block_rle4", "block_bitmap"])
def test_packed_weights_are_unpacked_at_once_where_memory_is_free(code):
    graph, options = packed_layer(120)
    option = next(o for o in options if (o.encoding, o.block) == (code, 4))
    (call,) = kernels.select(graph, {"conv2d_0": (option,)}, BOARD)
    least = dict(call.params)[UNPACKED_BYTES]
    assert 1024 <= least < option.stored_blocks  # about 2000
    (roomy,) = call.alternatives
    more = dict(roomy.params)[UNPACKED_BYTES]
    assert option.stored_blocks + 36 <= more < option.stored_blocks + 36 + 512
    assert roomy.scratch_bytes - call.scratch_bytes == more - least
    assert kernels.fill(call, more - least) == replace(roomy, why=call.why)
    assert kernels.fill(call, more - least - 1) == call
    predict = cost.predictor(BOARD)
    assert predict(roomy) < predict(call)


def test_the_scratch_of_packed_weights_does_not_depend_on_which_are_zero():
    """But for what is free anyway: the arena is predicted from a density."""
    found = set()
    for sparsity in (0.45, 0.5, 0.55):
        b = GraphBuilder((9, 9, 16))
        graph = b.finish(b.conv2d(b.input, 20, (3, 3), sparsity=sparsity, block=4))
        option = next(o for o in coding.options(graph)["conv2d_0"] if (o.encoding, o.block) == ("block_bitmap", 4))
        (call,) = kernels.select(graph, {"conv2d_0": (option,)}, BOARD)
        assert call.alternatives == ()  # all fit what there is at least
        found.add(call.scratch_bytes)
    assert len(found) == 1


def test_packed_weights_of_a_pooled_convolution():
    b = GraphBuilder((16, 16, 16))
    x = b.conv2d(b.input, 120, (3, 3), sparsity=0.5, block=4, padding=(1, 1, 1, 1))
    graph = fuse_pooling(b.finish(b.max_pool(x, (2, 2), (2, 2))))
    option = next(o for o in coding.options(graph)[graph.nodes[0].name] if (o.encoding, o.block) == ("block_rle4", 4))
    (call,) = kernels.select(graph, {graph.nodes[0].name: (option,)}, BOARD)
    rooms = [dict(way.params)[UNPACKED_BYTES] for way in (call, *call.alternatives)]
    assert rooms[0] < option.stored_blocks < rooms[1]
    assert len(set(rooms[1:])) == 1
    assert [way.scratch_bytes for way in (call, *call.alternatives)] == sorted(
        way.scratch_bytes for way in (call, *call.alternatives)
    )


def apply(move, source, output):
    """What se_move_s8 does."""
    params = dict(move.params("test"))
    for index in np.ndindex(*params["shape"]):
        at = params["input_offset"] + np.dot(index, params["input_stride"])
        to = params["output_offset"] + np.dot(index, params["output_stride"])
        output[to] = source[at]


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(shapes.flatmap(lambda shape: st.tuples(st.just(shape), st.permutations(range(len(shape))))))
def test_transpose(case):
    shape, permutation = case
    source = np.arange(prod(shape)).reshape(shape)
    output = np.full(source.size, -1)
    apply(movement.transpose(shape, permutation), source.ravel(), output)
    np.testing.assert_array_equal(output, source.transpose(permutation).ravel())


@st.composite
def cuts(draw):
    shape = draw(shapes)
    starts, sizes, steps = [], [], []
    for dim in shape:
        start = draw(st.integers(0, dim - 1))
        step = draw(st.integers(1, 3))
        starts.append(start)
        steps.append(step)
        sizes.append(draw(st.integers(1, (dim - start - 1) // step + 1)))
    return shape, tuple(starts), tuple(sizes), tuple(steps)


@settings(max_examples=60, deadline=None)
@given(cuts())
def test_cut(case):
    shape, starts, sizes, steps = case
    source = np.arange(prod(shape)).reshape(shape)
    output = np.full(prod(sizes), -1)
    apply(movement.cut(shape, starts, sizes, steps), source.ravel(), output)
    expected = source[tuple(slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, sizes, steps, strict=True))]
    np.testing.assert_array_equal(output, expected.ravel())


@settings(max_examples=60, deadline=None)
@given(shapes, st.data())
def test_insert(shape, data):
    before = [data.draw(st.integers(0, 2)) for _ in shape]
    after = [data.draw(st.integers(0, 2)) for _ in shape]
    source = np.arange(prod(shape)).reshape(shape)
    expected = np.pad(source, list(zip(before, after, strict=True)), constant_values=-1)
    output = np.full(expected.size, -1)
    apply(movement.insert(shape, expected.shape, before), source.ravel(), output)
    np.testing.assert_array_equal(output, expected.ravel())


def test_moves_merge_axes():
    assert movement.transpose((4, 5, 6, 7), (2, 3, 0, 1)).merged().shape == (42, 20)
    assert movement.insert((1, 4, 5), (1, 9, 5), (0, 3, 0)).merged().shape == (20,)
