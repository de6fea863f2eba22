"""The run file: TOML to the settings that each room defines.

Sections are named after the rooms and take the fields of the rooms' settings dataclasses; the run's one ``seed``
reaches them all. A missing key has the room's default; an unknown one is an error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from tinyformer import boards, data
from tinyformer.errors import ConfigError
from tinyformer.quantization import CalibrationSettings
from tinyformer.resources import Limits
from tinyformer.search_space import (
    Candidates,
    DotSpace,
    DownsampleCandidate,
    MobileNetCandidate,
    PoolingCandidate,
    SearchSpace,
    TransformerCandidate,
    preset,
)
from tinyformer.sparsenas.settings import FinetuneSettings, SparsenasSettings
from tinyformer.supernas.settings import SupernasSettings
from tinyformer.supernas.space_analysis import AnalysisSettings
from tinyformer.training import PRESETS as RECIPES
from tinyformer.training import TrainingSettings

Json = Mapping[str, Any]


def _known_keys(settings: type[Any]) -> BeforeValidator:
    """Refuse keys that a settings dataclass lacks; pydantic ignores them in plain dataclasses."""
    allowed = [f.name for f in fields(settings) if f.name != "seed"]

    def check(value: Any) -> Any:
        unknown = sorted(set(value) - set(allowed)) if isinstance(value, dict) else []
        if unknown:
            raise ValueError(f"unknown key '{unknown[0]}'; allowed: {', '.join(allowed)}")
        return value

    return BeforeValidator(check)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _size(value: Any) -> Any:
    sides = list(value) if isinstance(value, list | tuple) else []
    if value is not None and (len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides)):
        raise ValueError(f"{value}; allowed: [height, width] in pixels, 1 or more")
    return value


class DataConfig(_Section):
    """``[data]``: which dataset, and the share of its training images kept for validation."""

    name: str = "digits"
    path: Path | None = None
    size: Annotated[tuple[int, int] | None, BeforeValidator(_size)] = None
    grayscale: bool = False
    validation_fraction: float = Field(0.15, ge=0.02, le=0.5)

    def load(self, seed: int) -> data.Dataset:
        """Return the dataset."""
        return data.load(
            self.name,
            seed=seed,
            validation_fraction=self.validation_fraction,
            path=self.path,
            size=self.size,
            grayscale=self.grayscale,
        )

    def kind(self, seed: int) -> tuple[tuple[int, int, int], int]:
        """Return the shape of an image (H, W, C) and the number of classes; known datasets are not loaded for it."""
        known = data.kind(self.name)
        if known is not None:
            return known
        dataset = self.load(seed)
        return dataset.input_shape, len(dataset.classes)


class LimitsConfig(_Section):
    """``[limits]``: memory in KB of 1,024 bytes, by default the board's; the estimated latency, by default any."""

    flash_kb: float | None = Field(None, gt=0, allow_inf_nan=False)
    ram_kb: float | None = Field(None, gt=0, allow_inf_nan=False)
    latency_ms: float | None = Field(None, gt=0, allow_inf_nan=False)

    def limits(self, board: boards.Board) -> Limits:
        """Return the limits in bytes and milliseconds.

        Raises:
            ConfigError: a limit is more than the board has.
        """
        flash = board.flash.size_bytes if self.flash_kb is None else round(self.flash_kb * 1024)
        ram = board.ram.size_bytes if self.ram_kb is None else round(self.ram_kb * 1024)
        for name, limit, has in (("flash", flash, board.flash.size_bytes), ("RAM", ram, board.ram.size_bytes)):
            if limit > has:
                raise ConfigError(f"[limits] {name} of {limit} bytes: {board.name} has {has} bytes; lower the limit")
        return Limits(flash, ram, self.latency_ms)


class CandidatesConfig(_Section):
    """``[space.candidates]``: those of the preset, any kind of which may be replaced."""

    downsample: tuple[DownsampleCandidate, ...] | None = None
    mobilenet: tuple[MobileNetCandidate, ...] | None = None
    transformer: tuple[TransformerCandidate, ...] | None = None
    pooling: tuple[PoolingCandidate, ...] | None = None

    def candidates(self, of_preset: Candidates) -> Candidates:
        """Return the candidates."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return replace(of_preset, **{name: value for name, value in given.items() if value is not None})


class SpaceConfig(_Section):
    """``[space]``: a preset, any part of which may be replaced."""

    preset: str = "digits"
    dots: tuple[Annotated[DotSpace, _known_keys(DotSpace)], ...] | None = None
    candidates: Annotated[CandidatesConfig, _known_keys(Candidates)] | None = None
    transformer: bool | None = None
    sparsities: tuple[float, ...] | None = None
    block_sizes: tuple[int, ...] | None = None

    def space(self, input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
        """Return the search space for images of a shape (H, W, C)."""
        chosen = preset(self.preset, input_shape, classes)
        parts = {name: getattr(self, name) for name in type(self).model_fields if name != "preset"}
        if self.candidates is not None:
            parts["candidates"] = self.candidates.candidates(chosen.candidates)
        return replace(chosen, **{name: value for name, value in parts.items() if value is not None})


class CompileConfig(_Section):
    """``[compile]``: how the model becomes an image."""

    objective: Literal["size", "speed", "balanced"] = "size"
    toolchain: Literal["zig", "gcc"] = "zig"


class VerifyConfig(_Section):
    """``[verify]``: how many test images run on the emulated core; all of them when left out."""

    device_samples: int | None = Field(None, ge=1)


def _recipe(value: Any) -> TrainingSettings:
    if not isinstance(value, dict):
        raise ValueError("expected a table")
    allowed = ["preset", *(f.name for f in fields(TrainingSettings) if f.name not in _PER_STAGE)]
    unknown = sorted(set(value) - set(allowed))
    if unknown:
        raise ValueError(f"unknown key '{unknown[0]}'; allowed: {', '.join(allowed)}")
    given = dict(value)
    name = given.pop("preset", "paper")
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"preset '{name}' is unknown; allowed: {', '.join(RECIPES)}")
    try:
        return _TRAINING.validate_python({**asdict(RECIPES[name]), **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg']}") from None


_TRAINING = TypeAdapter(TrainingSettings)
_PER_STAGE = ("epochs", "batch_size", "peak_lr", "initial_lr", "warmup_epochs")


class RunConfig(_Section):
    """A run: data, board, limits, space, and how to search, train and prove."""

    name: str = Field("model", pattern=r"^[a-z][a-z0-9_]{0,30}$")
    board: str = "stm32f746g-disco"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataConfig = DataConfig()
    limits: LimitsConfig = LimitsConfig()
    space: SpaceConfig = SpaceConfig()
    analysis: Annotated[AnalysisSettings, _known_keys(AnalysisSettings)] = AnalysisSettings()
    supernas: Annotated[SupernasSettings, _known_keys(SupernasSettings)] = SupernasSettings()
    sparsenas: Annotated[SparsenasSettings, _known_keys(SparsenasSettings)] = SparsenasSettings()
    finetune: Annotated[FinetuneSettings, _known_keys(FinetuneSettings)] = FinetuneSettings()
    training: Annotated[TrainingSettings, BeforeValidator(_recipe)] = RECIPES["paper"]
    calibration: Annotated[CalibrationSettings, _known_keys(CalibrationSettings)] = CalibrationSettings()
    compile: CompileConfig = CompileConfig()
    verify: VerifyConfig = VerifyConfig()

    def seeded(self) -> RunConfig:
        """Return the configuration with the run's seed in every section that has one."""
        parts: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if is_dataclass(value) and not isinstance(value, type) and any(f.name == "seed" for f in fields(value)):
                parts[name] = replace(value, seed=self.seed)
        return self.model_copy(update=parts)

    def extends(self, other: RunConfig) -> bool:
        """Whether this run goes on from what another one did: it may train more candidates, and end in another way."""
        return self.sparsenas.candidates >= other.sparsenas.candidates and self.searched() == other.searched()

    def searched(self) -> dict[str, Any]:
        """Return what a search's trials depend on."""
        table = self.resolved()
        del table["finetune"], table["verify"]
        del table["sparsenas"]["candidates"]
        return table

    def resolved(self) -> dict[str, Any]:
        """Return a run file that says everything: ``parse`` makes the same configuration of it."""
        table = self.model_dump(mode="json", exclude_none=True)
        for section in table.values():
            if isinstance(section, dict):
                section.pop("seed", None)
        stages = {name: table["training"].pop(name) for name in _PER_STAGE}
        presets = (name for name, recipe in RECIPES.items() if {n: getattr(recipe, n) for n in _PER_STAGE} == stages)
        return {**table, "training": {"preset": next(presets), **table["training"]}}

    def with_preset(self, name: str) -> RunConfig:
        """Return the configuration with another search space, all of it from a preset."""
        return self.model_copy(update={"space": SpaceConfig(preset=name)})


def load(path: str | Path) -> RunConfig:
    """Read a run file.

    Raises:
        ConfigError: it is missing, not TOML, or a key is unknown, missing or out of range; names the key.
    """
    try:
        text = Path(path).read_bytes()
        table = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"run file {path}: {error.strerror or error}; give the path of a TOML file") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"run file {path}: not TOML: {error}") from error
    return parse(table, str(path))


def parse(table: Json, where: str = "run file") -> RunConfig:
    """Build a configuration from a parsed run file.

    Raises:
        ConfigError: a key is unknown, missing or out of range; names the key.
    """
    try:
        return RunConfig.model_validate(dict(table)).seeded()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            owner = RunConfig.model_fields.get(str(first["loc"][0])) if len(first["loc"]) > 1 else None
            model = RunConfig if owner is None else owner.annotation
            allowed = ", ".join(getattr(model, "model_fields", {}))
            message = f"unknown key; allowed: {allowed}"
        raise ConfigError(f"{where}: {key}: {message}") from error


def demo() -> RunConfig:
    """Return the configuration of a run without a run file: digits on an STM32F746 Discovery."""
    text = resources.files("tinyformer").joinpath("demo.toml").read_text(encoding="utf-8")
    return parse(tomllib.loads(text), "demo.toml")
