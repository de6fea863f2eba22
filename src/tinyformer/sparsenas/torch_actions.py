"""SparseNAS with PyTorch, and onnxruntime for the int8 accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tinyformer import quantization
from tinyformer.data import Dataset
from tinyformer.pruning import GradualPruning, one_shot
from tinyformer.search_space import BlockSparsity, Path, SparsityConfig, SupernetConfig, layer_sparsities
from tinyformer.sparsenas.actions import PruningRun, QuantizedRun, SparsenasActions
from tinyformer.sparsenas.settings import FinetuneSettings, SparsenasSettings
from tinyformer.study import Arrays
from tinyformer.supernet import (
    SinglePathModel,
    Supernet,
    extract,
    recalibrate,
    recalibration_batch,
    recalibration_images,
)
from tinyformer.supernet.arrays import from_arrays, to_arrays
from tinyformer.training import LogFile, TrainingSettings, Watch, evaluate, fit, image_batches, normalize, unwatched
from tinyformer.training.stage import stage_recipe


def torch_actions(
    dataset: Dataset,
    settings: SparsenasSettings | FinetuneSettings,
    recipe: TrainingSettings,
    quantizing: quantization.QuantizationSettings | None = None,
    watch: Watch | None = None,
    teacher: nn.Module | None = None,
) -> SparsenasActions[SinglePathModel]:
    """Return what Algorithm 3 and stage two do, on a dataset; only its training and validation splits are read.

    Args:
        dataset: images and labels.
        settings: batch size, learning rate, and how many validation images the int8 model sees.
        recipe: all else of training.
        quantizing: calibration; the input's quantisation is always that of camera bytes.
        watch: is told how each training goes.
        teacher: what a model learns from while it is pruned, beside the labels.
    """
    quantizing = quantizing or quantization.QuantizationSettings()
    work = _Work(dataset, settings, recipe, quantizing, watch or unwatched, teacher)
    return SparsenasActions(
        inherit=inherit,
        restore=restore,
        train=work.train,
        prune=work.prune,
        train_quantized=work.train_quantized,
        weights=to_arrays,
        accuracy=work.accuracy,
        judge=work.judge,
        int8_accuracy=work.int8_accuracy,
    )


def inherit(config: SupernetConfig, path: Path, weights: Arrays) -> SinglePathModel:
    """Return a path's model with the weights it has in a supernet."""
    supernet = Supernet(config, torch.Generator())
    from_arrays(supernet, weights)
    return extract(supernet, path)


def restore(config: SupernetConfig, path: Path, weights: Arrays) -> SinglePathModel:
    """Return a path's model with its own weights."""
    model = SinglePathModel(config, path, torch.Generator())
    from_arrays(model, weights)
    return model


@dataclass(frozen=True)
class _Work:
    dataset: Dataset
    settings: SparsenasSettings | FinetuneSettings
    recipe: TrainingSettings
    quantizing: quantization.QuantizationSettings
    watch: Watch
    teacher: nn.Module | None

    def train(self, model: SinglePathModel, epochs: int, seed: int, name: str) -> None:
        data = self.dataset
        fit(
            model,
            data.x_train,
            data.y_train,
            self._recipe(epochs),
            mean=data.mean,
            std=data.std,
            seed=seed,
            callbacks=self.watch(name),
        )

    def prune(self, model: SinglePathModel, sparsity: SparsityConfig, run: PruningRun) -> None:
        data = self.dataset
        pruning = GradualPruning(_pruned(model, sparsity), end=run.ramp_epochs / run.epochs)
        fit(
            model,
            data.x_train,
            data.y_train,
            self._recipe(run.epochs),
            mean=data.mean,
            std=data.std,
            seed=run.seed,
            validation=None if run.log is None else (data.x_val, data.y_val),
            callbacks=[pruning, *self.watch(run.name), *(() if run.log is None else (LogFile(run.log),))],
            checkpoint=run.checkpoint,
            resume=run.checkpoint is not None,
            teacher=self.teacher,
        )

    def train_quantized(self, model: SinglePathModel, sparsity: SparsityConfig, run: QuantizedRun) -> None:
        data = self.dataset
        recipe = stage_recipe(self.recipe, run.epochs, self.settings.batch_size, run.learning_rate)
        fit(
            model,
            data.x_train,
            data.y_train,
            replace(recipe, precision="fp32"),  # bfloat16 has no finer steps than int8
            mean=data.mean,
            std=data.std,
            seed=run.seed,
            validation=(data.x_val, data.y_val),
            forward=quantization.QuantizedForward(model, self._calibration_inputs(), self.quantizing.calibration),
            callbacks=[
                GradualPruning(_pruned(model, sparsity), end=0.0),
                *self.watch(run.name),
                LogFile(run.log),
            ],
            checkpoint=run.checkpoint,
            resume=True,
            teacher=self.teacher,
        )

    def accuracy(self, model: SinglePathModel) -> float:
        data = self.dataset
        return evaluate(model, data.x_val, data.y_val, mean=data.mean, std=data.std)

    def judge(self, model: SinglePathModel, sparsity: SparsityConfig) -> float:
        """Prune, let batch norm see training images once, then count."""
        data = self.dataset
        one_shot(model, _pruned(model, sparsity))
        images = recalibration_images(data.x_train)
        size = recalibration_batch(len(images))
        recalibrate(model, image_batches(images, mean=data.mean, std=data.std, batch_size=size))
        return self.accuracy(model)

    def int8_accuracy(self, model: SinglePathModel) -> float:
        data, generator = self.dataset, np.random.default_rng(self.settings.seed)
        calibration = self._calibration_inputs(generator)
        chosen = generator.permutation(len(data.x_val))[: self.settings.int8_samples]
        settings = quantization.QuantizationSettings(
            self.quantizing.calibration, quantization.InputQuantization.of_bytes(data.mean, data.std)
        )
        model_int8 = quantization.quantize_model(quantization.to_onnx(model), calibration, settings)
        return quantization.accuracy(model_int8, self._inputs(data.x_val[chosen]), data.y_val[chosen])

    def _calibration_inputs(self, generator: np.random.Generator | None = None) -> npt.NDArray[np.float32]:
        """Return the training images that ranges are found on, drawn by the seed."""
        images = self.dataset.x_train
        order = (generator or np.random.default_rng(self.settings.seed)).permutation(len(images))
        return self._inputs(images[order[: self.quantizing.calibration.samples]])

    def _recipe(self, epochs: int) -> TrainingSettings:
        return stage_recipe(self.recipe, epochs, self.settings.batch_size, self.settings.learning_rate)

    def _inputs(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        data = self.dataset
        inputs: npt.NDArray[np.float32] = normalize(torch.from_numpy(images), data.mean, data.std).numpy()
        return inputs


def _pruned(model: SinglePathModel, sparsity: SparsityConfig) -> dict[str, BlockSparsity]:
    """Return the layers of a model that a configuration prunes."""
    targets = layer_sparsities(model.config, model.path, sparsity)
    return {name: target for name, target in targets.items() if target.sparsity}
