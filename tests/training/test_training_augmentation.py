from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyformer.training import AUGMENTATIONS, Augmentation, batches, normalize
from tinyformer.training import augmentation as augment
from tinyformer.training.batches import Samples, epoch_batches

IMAGES = torch.arange(2 * 5 * 4 * 3, dtype=torch.uint8).reshape(2, 5, 4, 3) + 1
BOTH = np.arange(2)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_without_augmentation_images_are_only_taken():
    assert torch.equal(augment.gather(IMAGES, np.array([1, 0]), Augmentation(), rng()), IMAGES[[1, 0]])


def test_flips_mirror_whole_images():
    taken = augment.gather(IMAGES, np.zeros(50, np.intp), Augmentation(flip=True), rng())
    mirrored = IMAGES[0].flip(1)
    kinds = [0 if torch.equal(image, IMAGES[0]) else 1 if torch.equal(image, mirrored) else 2 for image in taken]
    assert set(kinds) == {0, 1}


@given(crop=st.integers(1, 6), reflect=st.booleans(), seed=st.integers(0, 1000))
def test_crops_are_windows_of_the_padded_image(crop, reflect, seed):
    if reflect and crop > 3:
        crop = 3  # np.pad's reflection needs less than the size
    mode = {"mode": "reflect"} if reflect else {}
    padded = np.pad(IMAGES[0].numpy(), ((crop, crop), (crop, crop), (0, 0)), **mode)
    windows = {
        padded[top : top + 5, left : left + 4].tobytes() for top in range(2 * crop + 1) for left in range(2 * crop + 1)
    }
    taken = augment.gather(IMAGES, np.zeros(8, np.intp), Augmentation(crop=crop, reflect=reflect), rng(seed))
    assert {image.numpy().tobytes() for image in taken} <= windows


def test_a_quarter_turn_rotates_the_image():
    class Always:
        def uniform(self, low, high, shape):
            return np.ones(shape)

    square = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    turned = augment.warp(square, Augmentation(rotate_degrees=90.0), Always())
    assert torch.allclose(turned, torch.rot90(square, 1, (2, 3)), atol=1e-5) or torch.allclose(
        turned, torch.rot90(square, -1, (2, 3)), atol=1e-5
    )


def test_shifts_move_by_pixels_and_leave_zeros():
    class Always:
        def uniform(self, low, high, shape):
            return np.array([[0.0], [0.0], [1.0], [0.0]])

    image = torch.arange(1.0, 21.0).reshape(1, 1, 4, 5)
    moved = augment.warp(image, Augmentation(shift=2.0), Always())
    assert torch.allclose(moved[..., :3], image[..., 2:], atol=1e-4)
    assert torch.all(moved[..., 3:] == 0)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(1, 40), (40, 1)])
def test_a_signal_is_moved_along_itself_only(name, shape):
    augmentation = replace(AUGMENTATIONS[name], cutout=0, mixup=0.0, cutmix=0.0)
    signal = torch.full((1, *shape, 2), 200, dtype=torch.uint8)
    taken = augment.gather(signal, np.zeros(64, np.intp), augmentation, rng())
    warped = augment.warp(taken.float().permute(0, 3, 1, 2), augmentation, rng()).reshape(64, 2, 40)
    assert torch.allclose(warped[..., 6:-6], torch.tensor(200.0), atol=0.1)


def test_cutout_zeroes_one_square_at_most():
    images = torch.ones(64, 3, 9, 7)
    cut = augment.cut_out(images, Augmentation(cutout=4), rng())
    hidden = (cut == 0).sum((1, 2, 3)) // 3
    assert hidden.min() >= 4
    assert hidden.max() == 16
    assert torch.equal(images, torch.ones(64, 3, 9, 7))


def test_mixup_mixes_a_batch_by_shares():
    images = torch.rand(16, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    mixing = augment.draw_mix(images, Augmentation(mixup=0.4), rng())
    mixed = augment.mix(images, mixing)
    share = mixing.share[:, None, None, None]
    assert torch.allclose(mixed, share * images + (1 - share) * images[mixing.partner], atol=1e-6)
    assert mixing.share.min() >= 0.5
    assert augment.draw_mix(images, Augmentation(), rng()) is None


def test_cutmix_puts_a_box_of_another_image_into_each():
    images = torch.arange(1.0, 65.0).reshape(64, 1, 1, 1).expand(64, 3, 8, 6)
    mixing = augment.draw_mix(images, Augmentation(cutmix=1.0), rng())
    mixed = augment.mix(images, mixing)
    assert set(mixed.unique().tolist()) <= set(range(1, 65))
    own = (mixed == images).float().mean((1, 2, 3))
    moved = mixing.partner != torch.arange(64)
    assert torch.allclose(own[moved], mixing.share[moved])
    assert mixing.share.min() < 0.3
    assert mixing.share.max() > 0.7
    for image, partner in zip(mixed[moved][:, 0], mixing.partner[moved], strict=True):
        rows, columns = (image == partner + 1).nonzero(as_tuple=True)
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] if len(rows) else image[:0]
        assert (box == partner + 1).all()


def test_batches_are_mixed_in_either_way():
    images = torch.zeros(4, 1, 2, 2)
    generator = rng()
    mixes = [augment.draw_mix(images, Augmentation(mixup=0.2, cutmix=1.0), generator) for _ in range(40)]
    assert {mixing.taken is None for mixing in mixes} == {True, False}


def test_normalised_images_lie_channels_last():
    x = normalize(IMAGES, 10.0, 4.0)
    assert x.shape == (2, 3, 5, 4)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x[1, 2, 3, 0] == (float(IMAGES[1, 3, 0, 2]) - 10) / 4


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_shapes_labels_and_the_seed(name):
    x = torch.randint(0, 256, (20, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Samples(x, torch.arange(20), 100.0, 50.0)
    runs = [list(epoch_batches(data, 6, AUGMENTATIONS[name], rng(seed))) for seed in (1, 1, 2)]
    labels = torch.cat([batch.labels for batch in runs[0]])
    assert len(runs[0]) == 3
    assert len(set(labels.tolist())) == 18
    assert all(batch.images.shape == (6, 1, 8, 8) and batch.images.dtype == torch.float32 for batch in runs[0])
    first, again, other = (torch.cat([batch.images for batch in run]) for run in runs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.isfinite(first).all()


def test_plain_batches_are_the_normalised_images():
    x = torch.randint(0, 256, (7, 4, 4, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Samples(x, torch.arange(7), 100.0, 50.0)
    for batch in epoch_batches(data, 2, AUGMENTATIONS["none"], rng()):
        assert torch.equal(batch.images, normalize(x[batch.labels], 100.0, 50.0))


def test_chunks_do_not_lose_images(monkeypatch):
    monkeypatch.setattr(batches, "_CHUNK_ELEMENTS", 40)
    data = Samples(IMAGES.repeat(10, 1, 1, 1)[..., :1], torch.arange(20), 0.0, 1.0)
    seen = torch.cat([batch.labels for batch in epoch_batches(data, 3, AUGMENTATIONS["crop_flip"], rng())])
    assert len(set(seen.tolist())) == 18
