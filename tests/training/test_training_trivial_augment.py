"""TrivialAugment: each change does what its name says, and images stay images."""

import numpy as np
import pytest
import torch

from tinyformer.training import trivial_augment as module
from tinyformer.training.trivial_augment import CHANGES, trivial_augment

GEOMETRIC = ("rotate", "shear_x", "shear_y", "shift_x", "shift_y")


def photos(count=6, height=8, width=8):
    return 255 * torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def at(strength, count=6):
    return torch.full((count, 1, 1, 1), float(strength))


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "autocontrast"])
def test_no_strength_changes_nothing(name):
    x = photos().round()
    assert torch.allclose(CHANGES[name](x, at(0)), x, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "identity"])
def test_full_strength_changes_something(name):
    x = photos()
    assert (CHANGES[name](x, at(0.9)) - x).abs().amax((1, 2, 3)).min() > 1


def test_enhancements():
    x = photos()
    assert torch.allclose(CHANGES["brightness"](x, at(-1)), 0.1 * x)
    grey = CHANGES["colour"](x, at(-1 / 0.9))
    assert torch.allclose(grey, x.mean(1, keepdim=True).expand_as(x), atol=1e-3)
    flat = CHANGES["contrast"](x, at(-1 / 0.9))
    assert torch.allclose(flat, x.mean((1, 2, 3), keepdim=True).expand_as(x), atol=1e-3)
    stretched = CHANGES["autocontrast"](x / 4 + 20, at(0))
    assert torch.allclose(stretched.amin((2, 3)), torch.tensor(0.0), atol=1e-3)
    assert torch.allclose(stretched.amax((2, 3)), torch.tensor(255.0), atol=1e-3)


def test_posterize_and_solarize():
    x = torch.arange(256.0).reshape(1, 1, 16, 16)
    assert CHANGES["posterize"](x, at(1, 1)).unique().tolist() == list(range(0, 256, 16))
    assert torch.equal(CHANGES["solarize"](x, at(1, 1))[x > 0], 255 - x[x > 0])


def test_a_shift_moves_by_a_third():
    x = photos(1, 6, 6)
    moved = CHANGES["shift_x"](x, at(1, 1))
    assert torch.allclose(moved[..., :4], x[..., 2:], atol=1e-3)
    moved = CHANGES["shift_y"](x, at(-1, 1))
    assert torch.allclose(moved[..., 2:, :], x[..., :4, :], atol=1e-3)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_signal_keeps_its_axes(name):
    signal = torch.full((2, 1, 1, 40), 200.0)
    assert torch.allclose(CHANGES[name](signal, at(0.8, 2)), signal, atol=1e-3)


def test_every_change_is_drawn_and_bytes_stay_bytes():
    x = photos(400)
    changed = trivial_augment(x, np.random.default_rng(0))
    assert changed.shape == x.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert torch.equal(changed, trivial_augment(x, np.random.default_rng(0)))
    kept = sum(torch.equal(a, b) for a, b in zip(x, changed, strict=True))
    assert kept < 400 * 3 / len(CHANGES)


def test_images_are_left_where_they_are(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "CHANGES", {"mark": lambda x, _: seen.append(len(x)) or x * 0 + 7})
    x = photos(5)
    before = x.clone()
    assert (trivial_augment(x, np.random.default_rng(0)) == 7).all()
    assert seen == [5]
    assert torch.equal(x, before)
