"""Settings of short training runs, and a callback that watches, stops or breaks one."""

import torch

from tinyformer.training import TrainingSettings

SCALE = {"mean": 60.0, "std": 60.0}


SETTINGS = TrainingSettings(
    epochs=4,
    batch_size=16,
    peak_lr=1e-2,
    initial_lr=1e-3,
    warmup_epochs=0.5,
    ema_decay=0.9,
    label_smoothing=0.1,
    augmentation="crop_flip_cutout_mixup",
    gradient_clip=1.0,
)


def same_weights(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


class Watch:
    """A callback that keeps what it sees, and may stop or break the run after an epoch."""

    def __init__(self, stop_at=None, crash_at=None):
        self.calls, self.stop_at, self.crash_at = [], stop_at, crash_at

    def on_start(self, state):
        self.calls.append(("start", state.step))

    def on_gradients(self, state):
        self.calls.append(("gradients", state.step))

    def on_step(self, state):
        self.calls.append(("step", state.step, state.loss, state.seconds_left, state.images_per_second))

    def on_epoch(self, state):
        self.calls.append(("epoch", state.epoch, len(state.rows)))
        if state.epoch == self.stop_at:
            state.stop = True
        if state.epoch == self.crash_at:
            raise KeyboardInterrupt
