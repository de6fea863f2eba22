"""One training loop, with augmentation, schedules, distillation and checkpoints; torch, NumPy and safetensors only.

Recipes are known without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyformer.lazy_imports import importer

if TYPE_CHECKING:
    from tinyformer.training.batches import image_batches, normalize
    from tinyformer.training.evaluation import Forward, evaluate, logits
    from tinyformer.training.log import EpochRow, TrainingLog, read_log
    from tinyformer.training.log_file import LogFile
    from tinyformer.training.loop import fit
    from tinyformer.training.policies import AUGMENTATIONS, Augmentation
    from tinyformer.training.schedule import learning_rate
    from tinyformer.training.settings import DIGITS, PAPER, PRESETS, STRONG, TrainingSettings
    from tinyformer.training.state import Callback, TrainingState, Watch, unwatched

__all__ = [
    "AUGMENTATIONS",
    "DIGITS",
    "PAPER",
    "PRESETS",
    "STRONG",
    "Augmentation",
    "Callback",
    "EpochRow",
    "Forward",
    "LogFile",
    "TrainingLog",
    "TrainingSettings",
    "TrainingState",
    "Watch",
    "evaluate",
    "fit",
    "image_batches",
    "learning_rate",
    "logits",
    "normalize",
    "read_log",
    "unwatched",
]

_HOMES = {
    "image_batches": "batches",
    "normalize": "batches",
    "Forward": "evaluation",
    "evaluate": "evaluation",
    "logits": "evaluation",
    "EpochRow": "log",
    "TrainingLog": "log",
    "read_log": "log",
    "LogFile": "log_file",
    "fit": "loop",
    "AUGMENTATIONS": "policies",
    "Augmentation": "policies",
    "learning_rate": "schedule",
    "DIGITS": "settings",
    "PAPER": "settings",
    "PRESETS": "settings",
    "STRONG": "settings",
    "TrainingSettings": "settings",
    "Callback": "state",
    "TrainingState": "state",
    "Watch": "state",
    "unwatched": "state",
}

__getattr__ = importer(__name__, _HOMES)
