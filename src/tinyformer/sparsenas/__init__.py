"""SparseNAS: which sparse single-path model of the supernet is best (Algorithm 3), and its fine-tuning.

``search`` and ``finetune`` need Optuna's storage and safetensors; ``actions`` is what they do to networks.
"""
