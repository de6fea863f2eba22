"""What a teacher is worth: one searched model, fine-tuned with the labels alone and with a shipped model's logits too.

    python benchmarks/distillation.py [--base configs/cifar10.toml] [--out runs/cifar10] [--only NAME ...]

Both runs search the preset small with the same seed, so that they fine-tune the same model from the same weights.
Writes distillation.json and distillation.md beside itself. An interrupted call goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import variants
from variants import HERE, Variant

TEACHER = HERE.parent / "models" / "tinyformer-300k-cifar10" / "checkpoint.safetensors"
SPACE = {"preset": "small"}
BASE = "cifar10.toml"
VARIANTS = (
    Variant("small", "labels alone", SPACE),
    Variant("small-taught", "labels and a teacher", SPACE, finetune={"teacher": str(TEACHER)}),
)


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table: accuracy of the pruned model in float and of its compiled C."""
    lines = ["| fine-tuned with | accuracy, pruned | int8 |", "|---|---|---|"]
    lines += [f"| {row['model']} | {row['accuracy_pruned']:.2%} | {row['accuracy_int8']:.2%} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    variants.main("distillation", __doc__, BASE, VARIANTS, to_markdown)
