"""Resource evaluation: a path and a sparsity configuration to flash, RAM and latency, without weights or PyTorch."""

from tinyformer.resources.evaluation import evaluate, resource_eval
from tinyformer.resources.limits import Limits, ResourceEval, Resources
from tinyformer.resources.lowering import lower

__all__ = ["Limits", "ResourceEval", "Resources", "evaluate", "lower", "resource_eval"]
