"""The run file: every mistake is one line that names the key."""

from pathlib import Path

import pytest

from tinyformer import boards, config
from tinyformer.errors import ConfigError


def test_seed_reaches_every_section() -> None:
    run = config.parse({"seed": 7})
    assert {run.analysis.seed, run.supernas.seed, run.sparsenas.seed, run.finetune.seed, run.calibration.seed} == {7}


def test_settings_come_from_their_sections() -> None:
    run = config.parse({"supernas": {"supernets": 2}, "training": {"preset": "digits", "label_smoothing": 0.2}})
    assert run.supernas.supernets == 2
    assert run.training.label_smoothing == 0.2
    assert run.training.augmentation == "digits"


def test_candidates_that_are_not_given_are_the_presets() -> None:
    table = {"space": {"preset": "small", "candidates": {"pooling": [{"kind": "sequence"}]}}}
    given, preset = (config.parse(t).space.space((32, 32, 3), 10) for t in (table, {"space": {"preset": "small"}}))
    assert [candidate.kind for candidate in given.candidates.pooling] == ["sequence"]
    assert given.candidates.transformer == preset.candidates.transformer


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"colour": 1}, ["colour", "unknown", "allowed", "board"]),
        ({"data": {"nmae": "digits"}}, ["data.nmae", "unknown", "validation_fraction"]),
        ({"data": {"size": 32}}, ["data.size: 32; allowed: [height, width]"]),
        ({"data": {"size": [32]}}, ["data.size: [32]; allowed: [height, width]"]),
        ({"data": {"size": [32, 0]}}, ["data.size: [32, 0]; allowed"]),
        ({"supernas": {"epoch": 3}}, ["supernas", "epoch", "allowed", "epochs"]),
        ({"supernas": {"epochs": "ten"}}, ["supernas.epochs", "integer"]),
        ({"supernas": {"epochs": 0}}, ["epochs = 0", "allowed"]),
        ({"sparsenas": {"seed": 3}}, ["sparsenas", "seed", "allowed"]),
        ({"training": {"preset": "papr"}}, ["training", "papr", "paper", "strong"]),
        ({"training": {"epochs": 3}}, ["training", "epochs", "allowed"]),
        ({"space": {"dots": [{"embedding": [8]}]}}, ["space.dots.0", "downsample_channels"]),
        ({"limits": {"flash_kb": -1}}, ["limits.flash_kb", "greater than 0"]),
        ({"limits": {"flash_kb": float("inf")}}, ["limits.flash_kb", "finite"]),
        ({"limits": {"latency_ms": float("inf")}}, ["limits.latency_ms", "finite"]),
        ({"training": {"weight_decay": "much"}}, ["training", "weight_decay", "number"]),
        ({"training": {"augmentation": ["crop"]}}, ["training", "augmentation", "string"]),
        ({"training": {"validate_every": 1.5}}, ["training", "validate_every", "integer"]),
        ({"training": {"preset": ["paper"]}}, ["training", "preset", "paper, strong"]),
        ({"training": {"optimizer": "lion"}}, ["training", "optimizer", "muon"]),
        ({"sparsenas": {"sampler": "bayes"}}, ["sparsenas.sampler", "'random', 'tpe'"]),
        ({"finetune": {"learning_rate": 0}}, ["finetune: learning_rate = 0", "allowed: above 0"]),
        ({"space": {"candidates": {"poling": []}}}, ["space.candidates", "poling", "allowed: downsample, mobilenet"]),
        ({"name": "My Model"}, ["name"]),
        ({"seed": -1}, ["seed"]),
        ({"compile": {"toolchain": "iar"}}, ["compile.toolchain", "zig", "gcc"]),
    ],
)
def test_a_mistake_names_the_key(table: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(table)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_missing_file_and_broken_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(broken)


def test_limits_default_to_the_board_and_may_only_be_lowered() -> None:
    board = boards.load("stm32f746g-disco")
    limits = config.parse({}).limits.limits(board)
    assert (limits.flash_bytes, limits.ram_bytes) == (board.flash.size_bytes, board.ram.size_bytes)
    assert config.parse({"limits": {"ram_kb": 48}}).limits.limits(board).ram_bytes == 48 * 1024
    assert limits.latency_ms is None
    assert config.parse({"limits": {"latency_ms": 800}}).limits.limits(board).latency_ms == 800
    with pytest.raises(ConfigError, match="RAM"):
        config.parse({"limits": {"ram_kb": 400}}).limits.limits(board)


def test_another_preset_replaces_the_whole_space() -> None:
    run = config.parse({"space": {"preset": "digits", "block_sizes": [2]}})
    assert run.space.space((8, 8, 1), 10).block_sizes == (2,)
    assert run.with_preset("small").space.space((32, 32, 3), 10).block_sizes == (2, 4)


def test_the_demo_and_the_examples_parse() -> None:
    assert config.demo().board == "stm32f746g-disco"
    for path in (Path(__file__).parents[1] / "configs").glob("*.toml"):
        config.load(path)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "configs").glob("*.toml")), ids=lambda path: path.stem
)
def test_a_resolved_run_file_means_the_same_run(path: Path) -> None:
    run = config.load(path)
    assert config.parse(run.resolved()) == run
    assert config.parse(run.resolved()).resolved() == run.resolved()


@pytest.mark.parametrize("preset", ["paper", "strong", "digits"])
def test_a_resolved_recipe_keeps_its_preset(preset: str) -> None:
    run = config.parse({"training": {"preset": preset, "ema_decay": 0.5}})
    assert run.resolved()["training"]["preset"] == preset
    assert config.parse(run.resolved()).training == run.training
