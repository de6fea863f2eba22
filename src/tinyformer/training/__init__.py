"""One training loop, with augmentation, schedules, distillation and checkpoints; torch, NumPy and safetensors only."""

from tinyformer.training.augmentation import AUGMENTATIONS, Augmentation
from tinyformer.training.batches import image_batches, normalize
from tinyformer.training.evaluation import Forward, evaluate, logits
from tinyformer.training.log import EpochRow, TrainingLog, read_log
from tinyformer.training.log_file import LogFile
from tinyformer.training.loop import fit
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
