"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinyformer.training.batches import Batch
from tinyformer.training.settings import TrainingSettings


def batch_loss(logits: Tensor, batch: Batch, settings: TrainingSettings, teacher_logits: Tensor | None) -> Tensor:
    """Return the mean loss of a batch.

    Cross-entropy with label smoothing; of mixed images, that of both labels by their shares. With a teacher,
    ``distillation`` of it is replaced by temperature ** 2 times the divergence of the softened student from the
    softened teacher.

    Args:
        logits: (N, classes).
        batch: labels and mixing.
        settings: smoothing, distillation, temperature.
        teacher_logits: (N, classes), or None.

    Reference: paper Sec. IV-A2 (label smoothing); Hinton et al. 2015 (distillation).
    """
    logits = logits.float()
    if batch.mix is None:
        loss = functional.cross_entropy(logits, batch.labels, label_smoothing=settings.label_smoothing)
    else:
        each = (
            functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing, reduction="none")
            for labels in (batch.labels, batch.labels[batch.mix.partner])
        )
        own, other = each
        loss = torch.lerp(other, own, batch.mix.share).mean()
    if teacher_logits is None:
        return loss
    temperature = settings.temperature
    divergence = functional.kl_div(
        functional.log_softmax(logits / temperature, dim=-1),
        functional.log_softmax(teacher_logits.float() / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    return torch.lerp(loss, divergence * temperature**2, settings.distillation)
