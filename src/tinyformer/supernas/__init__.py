"""SuperNAS: is the search space worth searching (Algorithm 1), and which supernet of it is best (Algorithm 2).

``space_analysis`` needs neither PyTorch nor Optuna; ``search`` needs Optuna; ``actions`` is what it does with PyTorch.
"""
