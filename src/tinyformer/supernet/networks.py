"""The supernet, which holds every candidate of every choice block, and the single-path model taken from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tinyformer.search_space import INPUT, LayerSpec, Path, SupernetConfig, block_layers, layers
from tinyformer.supernet import primitives


class CandidateModule(nn.Module):
    """One candidate of a choice block: runs its layers in the order of their specification.

    Submodules carry the layers' names behind the block's id: ``encoder0.query``.
    """

    def __init__(self, block_id: str, specs: Iterable[LayerSpec]) -> None:
        super().__init__()
        self._steps: list[tuple[str, LayerSpec, tuple[str, ...]]] = []
        specs = tuple(specs)
        images = {INPUT} | {spec.name for spec in specs if spec.image}
        last_reader = {name: spec.name for spec in specs for name in spec.inputs}
        for spec in specs:
            local = spec.name.removeprefix(f"{block_id}.")
            _attach(self, local, primitives.build(spec, from_image=spec.inputs[0] in images))
            unused = tuple(dict.fromkeys(name for name in spec.inputs if last_reader[name] == spec.name))
            self._steps.append((local, spec, unused))

    def forward(self, x: Tensor) -> Tensor:
        """Map the block's input to its output; images are (batch, C, H, W)."""
        values = {INPUT: x}
        for local, spec, unused in self._steps:
            values[spec.name] = x = self.get_submodule(local)(*(values[name] for name in spec.inputs))
            for dead in unused:
                del values[dead]
        return x


class SinglePathModel(nn.Module):
    """The network of one path. Layers are submodules under their names in ``search_space.layers``.

    ``config`` and ``path`` describe it; ``specs`` lists its layers.

    Args:
        config: the supernet that the path runs through.
        path: one candidate per choice block.
        generator: draws the initial weights.

    Raises:
        ConfigError: the path does not belong to the supernet.
    """

    def __init__(self, config: SupernetConfig, path: Path, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.path = path
        self.specs = layers(config, path)
        self._blocks = tuple(block.id for block in config.blocks())
        for block, candidate in path.candidates(config):
            _attach(self, block.id, CandidateModule(block.id, block_layers(block, candidate)))
        _initialize(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, C, H, W) to logits (batch, classes)."""
        for block in self._blocks:
            x = self.get_submodule(block)(x)
        return x

    def layer(self, name: str) -> nn.Module:
        """Return the module of a layer; those with weights have ``weight`` (O, I, kh, kw), (O, I) or (C,)."""
        return self.get_submodule(name)


class Supernet(nn.Module):
    """Every candidate of every choice block; a forward pass runs one path (single path, one shot).

    Candidates are submodules ``<block id>.<label>``: ``dot0.mobilenet1.x3``. Candidates of a block share the weights of
    layers that have the same name and shape (a transformer block's convolutions, and the encoders that two depths have
    in common), so that each is trained more often; batch norm's statistics stay each candidate's own.

    Args:
        config: widths, depths and candidates.
        generator: draws the initial weights.

    Reference: paper Sec. III-B1.
    """

    def __init__(self, config: SupernetConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        for block in config.blocks():
            for candidate in block.candidates:
                module = CandidateModule(block.id, block_layers(block, candidate))
                _attach(self, f"{block.id}.{candidate.label}", module)
            _share_parameters([self.get_submodule(f"{block.id}.{c.label}") for c in block.candidates])
        _initialize(self, generator)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """Map images (batch, C, H, W) to logits (batch, classes) along a path.

        Raises:
            ConfigError: the path does not belong to the supernet.
        """
        for block, candidate in path.candidates(self.config):
            x = self.get_submodule(f"{block.id}.{candidate.label}")(x)
        return x


def extract(supernet: Supernet, path: Path) -> SinglePathModel:
    """Return the single-path model of a path with a copy of the supernet's weights, in the supernet's mode.

    Raises:
        ConfigError: the path does not belong to the supernet.
    """
    model = SinglePathModel(supernet.config, path, torch.Generator())
    state = supernet.state_dict()
    inherited = {}
    for block, candidate in path.candidates(supernet.config):
        prefix = f"{block.id}.{candidate.label}."
        for key, value in state.items():
            if key.startswith(prefix):
                inherited[f"{block.id}.{key.removeprefix(prefix)}"] = value
    model.load_state_dict(inherited)
    reference = next(supernet.parameters())
    return model.to(reference.device, reference.dtype).train(supernet.training)


def prunable_layers(model: SinglePathModel) -> Mapping[str, nn.Module]:
    """Map the names of the prunable layers to their modules, in execution order."""
    return {spec.name: model.layer(spec.name) for spec in model.specs if spec.prunable}


def _share_parameters(candidates: Iterable[nn.Module]) -> None:
    """Let parameters of the same name and shape be one and the same."""
    known: dict[tuple[str, torch.Size], nn.Parameter] = {}
    for candidate in candidates:
        for name, parameter in list(candidate.named_parameters()):
            owner, _, leaf = name.rpartition(".")
            setattr(candidate.get_submodule(owner), leaf, known.setdefault((name, parameter.shape), parameter))


def _attach(root: nn.Module, name: str, module: nn.Module) -> None:
    """Make ``module`` the submodule of a dotted name."""
    *parents, leaf = name.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(leaf, module)


def _initialize(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        primitives.initialize(module, generator)
