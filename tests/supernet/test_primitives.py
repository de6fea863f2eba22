import pytest
import torch

from tinyformer.search_space import LayerSpec
from tinyformer.supernet import primitives


def _conv(**change) -> LayerSpec:
    values = {
        "name": "block.conv",
        "kind": "conv2d",
        "block": "block",
        "inputs": ("input",),
        "input_shapes": ((7, 5, 4),),
        "output_shape": (4, 3, 6),
        "weight_shape": (6, 3, 3, 4),
        "kernel": (3, 3),
        "stride": (2, 2),
        "padding": (1, 1, 1, 1),
        "image": True,
    }
    return LayerSpec(**(values | change))


def test_convolution_normalises_and_cuts():
    x = torch.randn(4, 4, 7, 5, generator=torch.Generator().manual_seed(0))
    linear = primitives.build(_conv(), from_image=True)
    relu = primitives.build(_conv(relu=True), from_image=True)
    relu.load_state_dict(linear.state_dict())
    y = linear(x)
    assert y.shape == (4, 6, 4, 3)
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert torch.equal(relu(x), y.clamp(min=0))


def test_depthwise_has_a_filter_per_channel():
    spec = _conv(kind="depthwise_conv2d", output_shape=(4, 3, 4), weight_shape=(4, 3, 3))
    assert primitives.build(spec, from_image=True).weight.shape == (4, 1, 3, 3)


@pytest.mark.parametrize("kind", ["max_pool2d", "avg_pool2d"])
def test_pooling_of_odd_sizes_keeps_what_is_left(kind: str):
    spec = _conv(kind=kind, weight_shape=(), kernel=(2, 2), padding=(0, 0, 1, 1))
    x = torch.arange(7.0)[None, None, :, None].expand(1, 4, 7, 5)
    y = primitives.build(spec, from_image=True)(x)
    assert y.shape == (1, 4, 4, 3)
    assert y[0, 0, -1].tolist() == [6.0] * 3  # padding is never counted


def test_reshape_reads_and_writes_images_with_channels_last():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)  # channels, height, width
    tokens = primitives.Reshape((12, 2), from_image=True, to_image=False)(x)
    assert tokens[0, 1].tolist() == [x[0, 0, 0, 1], x[0, 1, 0, 1]]
    assert torch.equal(primitives.Reshape((3, 4, 2), from_image=False, to_image=True)(tokens), x)


def test_linear_scales_its_output_before_the_relu():
    spec = _conv(kind="linear", weight_shape=(3, 4), output_scale=0.5, relu=True)
    layer = primitives.build(spec, from_image=False)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = (0.5 * (x @ layer.weight.T + layer.bias)).clamp(min=0)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[0]), expected[0])


def test_matmul_transposes_its_second_input():
    a, b = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(primitives.MatMul(transpose_b=True)(a, b), a @ b.mT)
    torch.testing.assert_close(primitives.MatMul(transpose_b=False)(a, b.mT), a @ b.mT)
