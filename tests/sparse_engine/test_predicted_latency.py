"""Instructions and latency predicted without compiling, against what ``profile`` then says; limits on the latency."""

from dataclasses import replace

import pytest

from tinyformer import boards
from tinyformer.errors import DoesNotFitError
from tinyformer.sparse_engine import coding, cost, deployment, layout, memory
from tinyformer.sparse_engine.arrangement import arrange
from tinyformer.sparse_engine.compiler import analyze_graph, compile_graph
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.passes.fuse_attention import fuse_attention
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.synthetic import GraphBuilder

F746 = boards.load("stm32f746g-disco")
# M7 with caches and wait states, and without; M4 with a small cache, and without; M33; M0+ and M3 without DSP extension
BOARDS = (
    *("stm32f746g-disco", "nucleo-h743zi2", "nucleo-l4r5zi", "nrf52840-dk", "rpi-pico2", "rpi-pico", "nucleo-f103rb"),
)


def residual_net() -> Graph:
    """Dense convolutions over 20x20 pixels, a sum, an average: the weights of the last ones come from flash."""
    b = GraphBuilder((20, 20, 3), seed=21, name="residual")
    x = b.conv2d(b.input, 20, (3, 3), padding=(1, 1, 1, 1), stride=(2, 2))
    y = b.conv2d(x, 20, (3, 3), padding=(1, 1, 1, 1))
    x = b.add(x, y, low=0)
    x = b.max_pool(b.conv2d(x, 48, (3, 3), padding=(1, 1, 1, 1)), (2, 2), (2, 2))
    x = b.avg_pool(x, (5, 5), (5, 5))
    return b.finish(b.linear(b.reshape(x, (48,)), 10))


def encoder_net() -> Graph:
    """Two sparse encoders of four heads over 49 tokens of 40, and sequence pooling."""
    b = GraphBuilder((14, 14, 2), seed=22, name="encoder")
    x = b.reshape(b.conv2d(b.input, 40, (2, 2), stride=(2, 2)), (49, 40))
    for _ in range(2):
        y = b.layer_norm(x)
        heads = [
            b.transpose(b.reshape(b.linear(y, 40, sparsity=0.7, block=4), (49, 4, 10)), (1, 0, 2)) for _ in range(3)
        ]
        scores = b.softmax(b.matmul(heads[0], heads[1], transpose_b=True))
        y = b.reshape(b.transpose(b.matmul(scores, heads[2]), (1, 0, 2)), (49, 40))
        x = b.add(x, b.linear(y, 40, sparsity=0.8, block=4))
        y = b.lookup(b.linear(b.layer_norm(x), 80, sparsity=0.6, block=2))
        x = b.add(x, b.linear(y, 40, sparsity=0.9, block=4))
    weights = b.reshape(b.softmax(b.reshape(b.linear(x, 1), (1, 49))), (1, 49))
    return b.finish(b.linear(b.reshape(b.matmul(weights, x), (40,)), 10))


def mobile_net() -> Graph:
    """Inverted residuals: sparse pointwise, dense and sparse depthwise convolutions."""
    b = GraphBuilder((24, 18, 1), seed=23, name="mobile")
    x = b.conv2d(b.input, 12, (3, 3), padding=(1, 1, 1, 1), stride=(2, 2))
    for block, sparsity, depthwise_sparsity in ((4, 0.5, 0.0), (2, 0.8, 0.3)):
        y = b.conv2d(x, 48, (1, 1), sparsity=sparsity, block=block, low=0)
        y = b.depthwise(y, (3, 3), padding=(1, 1, 1, 1), sparsity=depthwise_sparsity, block=3, low=0)
        x = b.add(x, b.conv2d(y, 12, (1, 1), sparsity=sparsity, block=block))
    x = b.conv2d(x, 64, (3, 3), stride=(2, 2), sparsity=0.75, block=4)
    x = b.avg_pool(x, (5, 4), (5, 4))
    return b.finish(b.linear(b.reshape(x, (64,)), 12))


def perceptron() -> Graph:
    """Linear layers alone, one token: every weight is read once."""
    b = GraphBuilder((300,), seed=24, name="perceptron")
    x = b.linear(b.input, 128, sparsity=0.85, block=4, low=0)
    x = b.linear(x, 96, low=0)
    return b.finish(b.linear(x, 10, sparsity=0.5, block=2))


def fused_residual_net() -> Graph:
    """The residual network as it is compiled from a file: maxima over rows of their convolution."""
    return fuse_pooling(residual_net())


def fused_encoder_net() -> Graph:
    """The encoders as they are compiled from a file: attention by rows."""
    return fuse_attention(encoder_net())


def tokens_and_channels() -> Graph:
    """Attention of two heads over 256 tokens, then a wide convolution: both want scratch in fast memory."""
    b = GraphBuilder((16, 16, 16), seed=25, name="tokens_and_channels")
    x = b.reshape(b.input, (256, 16))
    heads = [b.transpose(b.reshape(b.linear(x, 16), (256, 2, 8)), (1, 0, 2)) for _ in range(3)]
    scores = b.softmax(b.matmul(heads[0], heads[1], transpose_b=True))
    y = b.reshape(b.transpose(b.matmul(scores, heads[2]), (1, 0, 2)), (256, 16))
    y = b.reshape(b.add(x, b.linear(y, 16)), (16, 16, 16))
    y = b.conv2d(y, 224, (3, 3), padding=(1, 1, 1, 1), stride=(2, 2))
    y = b.conv2d(y, 224, (3, 3), padding=(1, 1, 1, 1))
    return b.finish(b.linear(b.reshape(b.avg_pool(y, (8, 8), (8, 8)), (224,)), 10))


NETS = (residual_net, encoder_net, mobile_net, perceptron, fused_residual_net, fused_encoder_net)


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("name", BOARDS)
def test_predicted_within_5_percent(name, net, tmp_path):
    """The tables were fitted on single layers of other shapes."""
    graph, board = net(), boards.load(name)
    predicted = analyze_graph(graph, board).figures
    compile_graph(graph, board, tmp_path / "bundle")
    found = deployment.profile(tmp_path / "bundle")
    assert predicted.instructions == pytest.approx(found.instructions, rel=0.05)
    assert predicted.latency_ms_estimated == pytest.approx(found.latency_ms_estimated, rel=0.05)
    assert predicted.memory_counted == found.memory_counted == (board.memory_system is not None)
    assert predicted.latency_error_percent == found.latency_error_percent
    assert predicted.unvalidated.keys() == found.unvalidated.keys()


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("code", ["block_rle4", "block_bitmap"])
@pytest.mark.parametrize("name", ["stm32f746g-disco", "rpi-pico"])
def test_packed_weights_are_predicted_too(name, code, tmp_path):
    graph = fused_encoder_net()
    encodings = dict.fromkeys(coding.options(graph), (code, 4))
    compiled = compile_graph(graph, boards.load(name), tmp_path / "bundle", encodings=encodings)
    found = deployment.profile(tmp_path / "bundle")
    predicted = compiled.manifest.predicted
    assert predicted.instructions == pytest.approx(found.instructions, rel=0.05)
    assert predicted.cycles == pytest.approx(found.cycles_estimated, rel=0.05)


@pytest.mark.slow
@pytest.mark.emulator
def test_two_profiles_of_one_bundle_are_equal(tmp_path):
    compile_graph(encoder_net(), F746, tmp_path / "bundle")
    first, second = (deployment.profile_blocks(tmp_path / "bundle", 10) for _ in range(2))
    assert first == second


def test_of_plans_as_small_the_fastest_is_taken():
    """64 KB of the F746's RAM are fast; a plan from either end leaves some scratch outside."""
    graph = tokens_and_channels()
    found = layout.lay_out(graph, F746, layout.Budget.of(F746))
    calls, plan = arrange(graph, found.calls)
    plans = (plan, *memory.as_small(graph, calls, plan))
    image = cost.of_image(F746)
    stalls = [image.stalls(graph, calls, plan.arena_bytes, layout._places(graph, calls, plan)) for plan in plans]
    cycles = {
        plan.placements: image.predict(graph, calls, plan.arena_bytes, added).cycles
        for plan, added in zip(plans, stalls, strict=True)
    }
    assert {plan.arena_bytes for plan in plans} == {found.plan.arena_bytes}
    assert cycles[found.plan.placements] == min(cycles.values()) < 0.97 * min(cycles[p.placements] for p in plans[:2])


def test_what_memory_adds_is_predicted_apart():
    graph = residual_net()
    free = analyze_graph(graph, replace(F746, memory_system=None)).figures
    counted = analyze_graph(graph, F746).figures
    assert counted.instructions == free.instructions
    assert 1.01 < counted.cycles_estimated / free.cycles_estimated < 1.5
    assert counted.cycles_estimated == sum(layer.cycles_estimated for layer in counted.layers) + (
        free.cycles_estimated - sum(layer.cycles_estimated for layer in free.layers)
    )


def test_activations_in_slow_ram_take_longer():
    """The first 64 KB of the STM32F746 are tightly coupled; a stack that fills them moves the arena behind."""
    graph = residual_net()
    near = analyze_graph(graph, F746).figures.cycles_estimated
    far = analyze_graph(graph, replace(F746, stack_bytes=0x1_0000)).figures.cycles_estimated
    assert far > 1.005 * near


@pytest.mark.slow
@pytest.mark.emulator
def test_scratch_goes_to_the_end_of_the_arena_that_is_in_fast_memory(tmp_path):
    """Attention's weights fill more than the fast memory and are read once; the widened values are read by each row."""
    b = GraphBuilder((2 * 256 * (256 + 22),), seed=25, name="values")
    weights = b.reshape(b.slice(b.input, (0,), (2 * 256 * 256,), (1,)), (2, 256, 256))
    values = b.reshape(b.slice(b.input, (2 * 256 * 256,), (2 * 256 * 22,), (1,)), (2, 256, 22))
    graph = b.finish(b.matmul(weights, values))
    compile_graph(graph, F746, tmp_path / "bundle")
    last = deployment.profile(tmp_path / "bundle").layers[-1]
    assert last.cycles_estimated <= last.macs
    predicted = analyze_graph(graph, F746).figures.layers[-1]
    assert predicted.cycles_estimated == pytest.approx(last.cycles_estimated, rel=0.1)  # a single layer


def test_a_latency_limit(tmp_path):
    graph = encoder_net()
    need_ms = analyze_graph(graph, F746, "speed").figures.latency_ms_estimated
    assert analyze_graph(graph, F746, "speed", latency_limit_ms=1.001 * need_ms).fits
    late = analyze_graph(graph, F746, "speed", latency_limit_ms=0.999 * need_ms)
    assert not late.fits
    assert late.to_dict()["limits"]["latency_ms"] == 0.999 * need_ms
    with pytest.raises(
        DoesNotFitError, match=r"takes .* ms, predicted, allowed are .* ms; cycles of the slowest layers: '"
    ):
        compile_graph(graph, F746, tmp_path / "bundle", objective="speed", latency_limit_ms=0.999 * need_ms)
    assert not (tmp_path / "bundle").exists()


def test_what_is_too_slow_is_tried_with_the_fastest_encodings():
    """Weights of which a quarter is zero are smaller in blocks, and faster dense."""
    b = GraphBuilder((64, 64), seed=5)
    graph = b.finish(b.linear(b.input, 64, sparsity=0.35, block=4))
    small, fast = (analyze_graph(graph, F746, objective).figures for objective in ("size", "speed"))
    assert small.flash_bytes < fast.flash_bytes
    assert small.latency_ms_estimated > fast.latency_ms_estimated
    limit_ms = (small.latency_ms_estimated + fast.latency_ms_estimated) / 2
    met = analyze_graph(graph, F746, "size", latency_limit_ms=limit_ms)
    assert met.fits
    assert met.figures == fast
