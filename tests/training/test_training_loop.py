from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tinyformer.errors import DataError, TrainingError
from tinyformer.training import AUGMENTATIONS, TrainingSettings, evaluate, fit, image_batches, logits, precision
from tinyformer.training.average import WeightAverage
from tinyformer.training.batches import Batch, Mix
from tinyformer.training.loss import batch_loss
from training_runs import SCALE, SETTINGS, Watch, same_weights


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_tiny_set_is_learnt_by_heart(net, bars, optimizer):
    model = net(dropout=0.0)
    settings = TrainingSettings(epochs=25, batch_size=16, optimizer=optimizer, peak_lr=2e-2)
    log = fit(model, *bars, settings, seed=0, **SCALE)
    assert evaluate(model, *bars, **SCALE) == 1.0
    assert log.rows[-1].loss < 0.1 * log.rows[0].loss
    assert log.precision == "fp32"
    assert log.validation_accuracy is None


def test_the_seed_decides_everything(net, bars):
    models = [net() for _ in range(3)]
    state = torch.get_rng_state()
    for model, seed in zip(models, (1, 1, 2), strict=True):
        fit(model, *bars, SETTINGS, seed=seed, **SCALE)
    assert torch.equal(torch.get_rng_state(), state)
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_callbacks_see_every_step_and_epoch(net, bars):
    watch = Watch()
    fit(net(), *bars, SETTINGS, seed=0, callbacks=[watch], **SCALE)
    kinds = [call[0] for call in watch.calls]
    assert kinds == ["start", *(["gradients", "step"] * 3 + ["epoch"]) * 4]
    steps = [call for call in watch.calls if call[0] == "step"]
    assert [call[1] for call in steps] == list(range(1, 13))
    assert all(call[2] > 0 and call[4] > 0 for call in steps)
    assert steps[-1][3] == 0
    assert all(later[2] == earlier[2] + 1 for earlier, later in pairwise(c for c in watch.calls if c[0] == "epoch"))


def test_callbacks_change_gradients_before_they_are_clipped(net, bars):
    class Mask(Watch):
        def on_gradients(self, state):
            state.model.head.weight.grad.mul_(1e6)
            state.model.conv.weight.grad.zero_()

    model = net()
    before = model.conv.weight.detach().clone(), model.head.weight.detach().clone()
    settings = TrainingSettings(
        epochs=1, batch_size=48, optimizer="sgd", peak_lr=1.0, weight_decay=0, gradient_clip=0.1
    )
    fit(model, *bars, settings, seed=0, callbacks=[Mask()], **SCALE)
    assert torch.equal(model.conv.weight, before[0])
    moved = (model.head.weight.detach() - before[1]).norm()
    assert float(moved) == pytest.approx(0.1 * 1.9, rel=1e-3)  # Nesterov's first step


def test_a_callback_can_stop_the_run(net, bars, tmp_path):
    path = tmp_path / "run.safetensors"
    log = fit(net(), *bars, SETTINGS, seed=0, callbacks=[Watch(stop_at=2)], checkpoint=path, **SCALE)
    assert [row.epoch for row in log.rows] == [1, 2]
    assert len(fit(net(), *bars, SETTINGS, seed=0, checkpoint=path, resume=True, **SCALE).rows) == 2


def test_validation_is_of_the_average_and_as_often_as_asked(net, bars):
    model = net()
    settings = replace(SETTINGS, epochs=5, validate_every=2)
    log = fit(model, *bars, settings, seed=0, validation=bars, **SCALE)
    assert [row.validation_accuracy is not None for row in log.rows] == [False, True, False, True, True]
    assert log.validation_accuracy == pytest.approx(evaluate(model, *bars, **SCALE))
    loss = nn.functional.cross_entropy(logits(model, bars[0], **SCALE), torch.from_numpy(bars[1]))
    assert log.rows[-1].validation_loss == pytest.approx(float(loss), rel=1e-5)


def test_the_result_is_the_average_or_else_the_last_weights(net, bars):
    class Follow(Watch):
        def on_start(self, state):
            self.average = state.model.head.weight.detach().clone()

        def on_step(self, state):
            decay = min(0.9, (1 + state.step) / (10 + state.step))
            self.average.lerp_(state.model.head.weight.detach(), 1 - decay)

    averaged, last, follow = net(), net(), Follow()
    fit(averaged, *bars, SETTINGS, seed=0, **SCALE)
    fit(last, *bars, replace(SETTINGS, ema_decay=0.0), seed=0, callbacks=[follow], **SCALE)
    assert torch.allclose(averaged.head.weight, follow.average, atol=1e-6)
    assert not torch.allclose(averaged.head.weight, last.head.weight, atol=1e-4)


def test_the_average_follows_its_formula(net):
    model = net()
    average = WeightAverage(model, 0.25)
    expected = model.head.weight.detach().clone()
    for step in (1, 2, 3):
        with torch.no_grad():
            model.head.weight.add_(step)
            model.norm.num_batches_tracked.add_(1)
        average.update(step)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.head.weight.detach()
    assert torch.allclose(average.model.head.weight, expected)
    assert average.model.norm.num_batches_tracked == 3


def test_the_average_moves_shared_weights_once(net):
    model = nn.ModuleList([net(seed=1), net(seed=2)])
    model[1].head = model[0].head
    average = WeightAverage(model, 0.5)
    start = model[0].head.weight.detach().clone()
    with torch.no_grad():
        model[0].head.weight.add_(1.0)
    average.update(100)
    assert average.model[0].head.weight is average.model[1].head.weight
    assert torch.allclose(average.model[0].head.weight, start + 0.5)


def test_the_forward_hook_counts_steps_and_validation_batches(net, bars):
    seen = {True: [], False: []}

    def forward(model, images, step):
        seen[model.training].append(step)
        return model(images)

    fit(net(), *bars, replace(SETTINGS, epochs=2), seed=0, forward=forward, validation=bars, **SCALE)
    assert seen[True] == list(range(6))
    assert seen[False][-1] == 0


def test_a_supernet_trains_only_the_sampled_path(net, bars):
    paths = nn.ModuleList([net(seed=1), net(seed=2)])
    before = [p.clone() for p in paths[1].parameters()]
    fit(paths, *bars, replace(SETTINGS, ema_decay=0.0), seed=0, forward=lambda model, x, step: model[0](x), **SCALE)
    assert all(torch.equal(a, b) for a, b in zip(before, paths[1].parameters(), strict=True))


def test_a_teacher_teaches(net, bars):
    teacher = net(seed=4, dropout=0.0)
    fit(teacher, *bars, TrainingSettings(epochs=25, batch_size=16, peak_lr=2e-2), seed=0, **SCALE)
    student = net(dropout=0.0)
    nonsense = np.zeros_like(bars[1])
    settings = TrainingSettings(epochs=25, batch_size=16, peak_lr=2e-2, distillation=1.0)
    fit(student, bars[0], nonsense, settings, seed=0, teacher=teacher, **SCALE)
    assert evaluate(student, *bars, **SCALE) == 1.0


@pytest.mark.parametrize("computed", ["fp32", "bf16"])
def test_the_teacher_runs_as_the_student_does_without_gradients(net, bars, computed):
    """Same images, same precision, channels last; in evaluation mode, and it stays as it is."""

    class Teacher(net):
        def __init__(self):
            super().__init__(seed=4)
            self.calls, self.spare = 0, nn.Conv2d(4, 4, 3)  # of several channels, which can lie last

        def forward(self, x):
            logits = super().forward(x)
            assert not self.training
            assert not logits.requires_grad
            assert logits.dtype == (torch.bfloat16 if computed == "bf16" else torch.float32)
            assert self.spare.weight.is_contiguous(memory_format=torch.channels_last)
            assert any(torch.equal(x, images) for images in seen[-1:])
            self.calls += 1
            return logits

    seen = []

    def forward(model, images, step):
        seen.append(images)
        return model(images)

    teacher = Teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    fit(net(), *bars, replace(SETTINGS, precision=computed), seed=0, teacher=teacher, forward=forward, **SCALE)
    assert teacher.calls == 12
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_the_teachers_work_is_not_the_students(net, bars, monkeypatch):
    """Precision and threads are chosen by the student."""
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)
    student = net(width=6)
    images = torch.zeros(1, 1, 8, 8)
    monkeypatch.setattr(precision, "_WORTHWHILE_MACS", 2 * precision.count_macs(student, images, lambda m, x, _: m(x)))
    settings = replace(SETTINGS, epochs=1)
    assert fit(student, *bars, settings, seed=0, teacher=net(width=60), **SCALE).precision == "fp32"
    assert fit(net(width=60), *bars, settings, seed=0, **SCALE).precision == "bf16"


def test_losses_follow_their_formulas():
    generator = torch.Generator().manual_seed(0)
    scores, taught = torch.randn(2, 4, 3, generator=generator)
    labels = torch.tensor([0, 1, 2, 0])
    settings = TrainingSettings(epochs=1, label_smoothing=0.1, distillation=0.25, temperature=3.0)
    smooth = nn.functional.one_hot(labels, 3) * 0.9 + 0.1 / 3
    plain = -(smooth * scores.log_softmax(1)).sum(1).mean()
    images = torch.zeros(4, 1, 1, 1)
    assert torch.allclose(batch_loss(scores, Batch(images, labels), settings, None), plain)
    p = (taught / 3).softmax(1)
    divergence = (p * (p.log() - (scores / 3).log_softmax(1))).sum(1).mean() * 9
    assert torch.allclose(batch_loss(scores, Batch(images, labels), settings, taught), 0.75 * plain + 0.25 * divergence)
    mixing = Mix(torch.tensor([1, 0, 3, 2]), torch.tensor([1.0, 0.5, 0.7, 0.9]))
    target = mixing.share[:, None] * smooth + (1 - mixing.share[:, None]) * smooth[mixing.partner]
    mixed = -(target * scores.log_softmax(1)).sum(1).mean()
    assert torch.allclose(batch_loss(scores, Batch(images, labels, mixing), settings, None), mixed)


def test_a_diverged_run_says_so(net, bars):
    settings = TrainingSettings(epochs=3, batch_size=16, optimizer="sgd", peak_lr=1e30)
    with pytest.raises(
        TrainingError,
        match=r"training diverged in epoch \d: the loss is .*; lower the learning rate \(its peak is 1e\+30\)",
    ):
        fit(net(), *bars, settings, seed=0, **SCALE)


def test_weights_that_the_last_step_spoilt_are_no_result(net, bars):
    """No loss has seen them."""
    watch = Watch()

    def spoil(state):
        if state.epoch == 2:
            next(state.model.parameters()).data.view(-1)[0] = float("nan")

    watch.on_step = spoil
    with pytest.raises(TrainingError, match="diverged in epoch 3: the weights are not finite"):
        fit(net(), *bars, replace(SETTINGS, epochs=3, batch_size=len(bars[0])), seed=0, callbacks=[watch], **SCALE)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((2, 8, 8, 1), np.float32), np.zeros(2, np.int64), "images are torch.float32"),
        (np.zeros((2, 8, 8), np.uint8), np.zeros(2, np.int64), r"allowed: uint8 \(N, H, W, C\)"),
        (np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, np.int64), "one or more"),
        (np.zeros((2, 8, 8, 1), np.uint8), np.zeros(3, np.int64), "for 2 images"),
        (np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.int32), "labels are torch.int32"),
    ],
)
def test_wrong_data_is_refused(net, x, y, expected):
    with pytest.raises(DataError, match=expected):
        fit(net(), x, y, SETTINGS, seed=0, **SCALE)


def test_the_model_keeps_its_mode_and_device(net, bars):
    model, modes = net().eval(), []

    def forward(model, images, step):
        modes.append(model.training)
        return model(images)

    settings = replace(SETTINGS, epochs=2, precision="fp32")
    fit(model, *bars, settings, seed=0, forward=forward, validation=bars, **SCALE)
    assert modes == [False, *[True, True, True, False] * 2]  # the first call counts the work
    assert not model.training
    assert next(model.parameters()).device.type == "cpu"


def test_a_set_smaller_than_a_batch_is_one_batch(net, bars):
    watch = Watch()
    fit(net(), bars[0][:5], bars[1][:5], replace(SETTINGS, epochs=1), seed=0, callbacks=[watch], **SCALE)
    assert [call[1] for call in watch.calls if call[0] == "step"] == [1]


def test_bf16_trains_too(net, bars):
    model = net(dropout=0.0)
    settings = TrainingSettings(epochs=20, batch_size=16, peak_lr=2e-2, precision="bf16")
    log = fit(model, *bars, settings, seed=0, validation=bars, **SCALE)
    assert log.precision == "bf16"
    assert log.validation_accuracy == 1.0
    assert model.head.weight.dtype == torch.float32


def test_logits_do_not_depend_on_the_batch_size(net, bars):
    model = net()
    whole = logits(model, bars[0], **SCALE)
    parts = logits(model, bars[0], batch_size=7, **SCALE)
    assert torch.allclose(whole, parts, atol=1e-6)
    assert model.training
    assert [len(batch) for batch in image_batches(bars[0], batch_size=20, **SCALE)] == [20, 20, 8]


def test_all_augmentations_can_be_trained_with(net, bars):
    for name in AUGMENTATIONS:
        fit(net(), *bars, replace(SETTINGS, epochs=1, augmentation=name), seed=0, **SCALE)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_pruned_weights_leave_behind_is_forgotten_before_it_is_denormal(net, bars, tmp_path, optimizer):
    """Moments without a gradient halve every few steps; denormal numbers make processors many times slower."""

    class Prune(Watch):
        def on_gradients(self, state):
            if state.step:
                for parameter in state.model.parameters():
                    parameter.grad[: len(parameter) // 2] = 0

    settings = replace(SETTINGS, epochs=18 if optimizer == "adamw" else 36, batch_size=1, optimizer=optimizer)
    path = tmp_path / "run.safetensors"
    fit(net(width=16), *bars, settings, seed=0, callbacks=[Prune()], checkpoint=path, **SCALE)
    state = {name: value for name, value in load_file(path).items() if name.startswith("optimizer.")}
    moments = torch.cat([value.flatten() for name, value in state.items() if value.ndim])
    assert (moments == 0).sum() > 100
    assert (moments != 0).sum() > 100
    assert not ((moments != 0) & (moments.abs() < torch.finfo(torch.float32).tiny)).any()
