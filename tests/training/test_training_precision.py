import pytest
import torch
from torch import nn

from tinyformer.training import precision
from tinyformer.training.evaluation import plain_forward


def forward_twice(model, images, step):
    return model(images) + model(images)


def model(width):
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.Flatten(2),
        nn.Linear(16, 5),
    )


def test_macs_count_what_a_forward_pass_runs():
    net = model(8)
    expected = 16 * 8 * 2 * 9 + 16 * 8 * 9 + 8 * 16 * 5
    assert precision.count_macs(net, torch.zeros(3, 2, 4, 4), plain_forward) == expected
    assert precision.count_macs(net, torch.zeros(3, 2, 4, 4), forward_twice) == 2 * expected
    assert net.training
    assert not net[0]._forward_hooks


@pytest.mark.parametrize(
    ("requested", "hardware", "worthwhile", "expected"),
    [
        ("auto", True, True, "bf16"),
        ("auto", True, False, "fp32"),
        ("auto", False, True, "fp32"),
        ("bf16", False, False, "bf16"),
        ("fp32", True, True, "fp32"),
    ],
)
def test_auto_needs_hardware_and_work(monkeypatch, requested, hardware, worthwhile, expected):
    monkeypatch.setattr(precision, "has_bf16", lambda _: hardware)
    monkeypatch.setattr(precision, "_WORTHWHILE_MACS", 0 if worthwhile else 10**9)
    assert precision.resolve(requested, model(4), torch.zeros(2, 2, 4, 4), plain_forward) == expected


def test_other_devices_have_no_bf16():
    assert not precision.has_bf16(torch.device("mps"))
    assert isinstance(precision.has_bf16(torch.device("cpu")), bool)
