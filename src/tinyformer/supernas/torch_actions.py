"""Supernet search with PyTorch: single path, one shot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tinyformer.data import Dataset
from tinyformer.pruning import one_shot
from tinyformer.search_space import Path, SparsityConfig, SupernetConfig, layer_sparsities, sample_path
from tinyformer.study import Arrays
from tinyformer.supernas.actions import SupernasActions
from tinyformer.supernas.settings import SupernasSettings
from tinyformer.supernet import (
    SinglePathModel,
    Supernet,
    extract,
    recalibrate,
    recalibration_batch,
    recalibration_images,
)
from tinyformer.supernet.arrays import from_arrays, to_arrays
from tinyformer.training import TrainingSettings, Watch, evaluate, fit, image_batches, unwatched
from tinyformer.training.stage import stage_recipe


def torch_actions(
    dataset: Dataset, settings: SupernasSettings, recipe: TrainingSettings, watch: Watch | None = None
) -> SupernasActions[Supernet, SinglePathModel]:
    """Return what Algorithm 2 does, on a dataset; only its training and validation splits are read.

    Args:
        dataset: images and labels.
        settings: batch size and learning rate.
        recipe: all else of training.
        watch: is told how each training goes.
    """
    work = _Work(dataset, settings, recipe, watch or unwatched)
    return SupernasActions(
        build=build,
        train=work.train,
        weights=to_arrays,
        restore=restore,
        extract=extract,
        prune=prune,
        accuracy=work.accuracy,
    )


def build(config: SupernetConfig, seed: int) -> Supernet:
    """Return a supernet with weights drawn from a seed."""
    return Supernet(config, torch.Generator().manual_seed(seed))


def restore(config: SupernetConfig, weights: Arrays) -> Supernet:
    """Return a supernet with given weights, ready for inference."""
    supernet = Supernet(config, torch.Generator())
    from_arrays(supernet, weights)
    return supernet.eval()


def prune(model: SinglePathModel, sparsity: SparsityConfig) -> None:
    """Prune a model in one shot."""
    targets = layer_sparsities(model.config, model.path, sparsity)
    one_shot(model, {name: target for name, target in targets.items() if target.sparsity})


@dataclass(frozen=True, slots=True)
class UniformPaths:
    """Runs a supernet along one path a step, every candidate equally likely (Guo et al. 2020, Sec. 3.2)."""

    config: SupernetConfig
    seed: int

    def __call__(self, model: nn.Module, images: Tensor, step: int) -> Tensor:
        """Map images to logits along the path of a step."""
        logits: Tensor = model(images, self.path(step))
        return logits

    def path(self, step: int) -> Path:
        """Return the path of a step."""
        return sample_path(self.config, np.random.default_rng(np.random.SeedSequence((self.seed, step))))


@dataclass(frozen=True)
class _Work:
    dataset: Dataset
    settings: SupernasSettings
    recipe: TrainingSettings
    watch: Watch

    def train(self, supernet: Supernet, epochs: int, seed: int, name: str) -> None:
        data = self.dataset
        recipe = stage_recipe(self.recipe, epochs, self.settings.batch_size, self.settings.learning_rate)
        fit(
            supernet,
            data.x_train,
            data.y_train,
            recipe,
            mean=data.mean,
            std=data.std,
            seed=seed,
            forward=UniformPaths(supernet.config, seed),
            callbacks=self.watch(name),
        )

    def accuracy(self, model: SinglePathModel) -> float:
        """Recalibrate batch norm for the pruned path, then count."""
        data = self.dataset
        images = recalibration_images(data.x_train)
        size = recalibration_batch(len(images))
        recalibrate(model, image_batches(images, mean=data.mean, std=data.std, batch_size=size))
        return evaluate(model, data.x_val, data.y_val, mean=data.mean, std=data.std)
