"""The examples run as the documentation says."""

import importlib.util
import re
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tinyformer import boards, config, data, pipeline
from tinyformer.resources import resource_eval
from tinyformer.sparse_engine import host
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.supernas.space_analysis import AnalysisSettings, analyze

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_keywords(target: Path, samples: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["keyword_spotting.py", str(target), "--samples", str(samples)])
    example("keyword_spotting").main()
    return target


def test_keyword_spotting_writes_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keywords = example("keyword_spotting")
    dataset = data.load("npz", path=write_keywords(tmp_path / "keywords.npz", 3, monkeypatch))
    assert dataset.input_shape == (49, 10, 1)
    assert dataset.classes == keywords.CLASSES
    assert (len(dataset.x_train), len(dataset.x_val), len(dataset.x_test)) == (7, 7, 7)
    again = keywords.mfcc(keywords.synthesise("yes", np.random.default_rng(0)))
    with np.load(tmp_path / "keywords.npz") as stored:
        assert np.array_equal(stored["x"][0], again)


def test_run_files_parse() -> None:
    for path in EXAMPLES.glob("*.toml"):
        config.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/data-folder.md"])
def test_a_documented_run_file_is_accepted_by_the_space_analysis(page: str) -> None:
    text = (EXAMPLES.parent / page).read_text()
    table = next(block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[space]" in block)
    settings = config.parse(tomllib.loads(table))
    board = boards.load(settings.board)
    limits = settings.limits.limits(board)
    space = settings.space.space((*settings.data.size, 3), 5)
    found = analyze(space, limits, resource_eval(board, limits, "size"), AnalysisSettings(samples=30))
    assert found.acceptable, found.to_text()


@pytest.mark.full
@pytest.mark.parametrize("shape", [(49, 10), (1, 64, 6)])
def test_features_of_any_shape_go_the_whole_way(
    shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odd spectrograms and six sensors over time, halved four times: trained, compiled, equal on the emulated core."""
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    x = generator.normal(size=(120, *shape)) + 2.0 * labels.reshape(-1, *[1] * len(shape))
    np.savez(tmp_path / "features.npz", x=x.astype(np.float32), y=labels, classes=["low", 'the "middle"', "high??/"])
    dots = {"downsample_channels": [8], "mobilenet_channels": [8], "mobilenet_blocks": [1], "transformer_blocks": [1]}
    training = {"epochs": 2, "ramp_epochs": 1, "batch_size": 16, "learning_rate": 3e-3}
    settings = config.parse(
        {
            "name": "odd",
            "data": {"name": "npz", "path": str(tmp_path / "features.npz")},
            "space": {"dots": [{**dots, "transformer_channels": [8], "embedding": [8]}] * 4, "sparsities": [0.5]},
            "analysis": {"samples": 2, "threshold": 0.0},
            "supernas": {"supernets": 1, "paths": 1, "sparsities": 1, "test_paths": 2, "epochs": 1, "batch_size": 16},
            "sparsenas": {"candidates": 1, "prune_epochs": 1, **training, "epochs": 1},
            "finetune": training,
            "training": {"preset": "digits", "augmentation": "shift"},
            "calibration": {"samples": 16},
            "verify": {"device_samples": 3},
        }
    )
    result = pipeline.run(settings, tmp_path / "out")
    dataset = settings.data.load(settings.seed)
    assert result["bit_exact"] is True
    assert result["input"] == {
        "shape": list(dataset.input_shape),
        "value_range": list(dataset.value_range),
        "bytes": "int8 = byte - 128",
    }
    bundle = tmp_path / "out" / "bundle"
    assert (tmp_path / "out" / "odd_features.h").is_file()
    assert Manifest.load(bundle).labels == ("low", 'the "middle"', "high??/")
    assert r'{"low", "the \042middle\042", "high\077\077\057"}' in (bundle / "odd.h").read_text()
    shutil.copytree(bundle, tmp_path / "moved")
    outputs = host.load(tmp_path / "moved")(dataset.x_test.transpose(0, 3, 1, 2))
    assert np.mean(outputs.argmax(axis=1) == dataset.y_test) == result["accuracy"]["int8"]
