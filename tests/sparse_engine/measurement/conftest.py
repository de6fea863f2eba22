"""A bundle with its profile image."""

import shutil
from pathlib import Path

import pytest

from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.measurement import firmware


@pytest.fixture(scope="session")
def profile_bundle(convolutional_bundle, tmp_path_factory) -> Path:
    """A copy of the bundle for the STM32F746, with the profile image."""
    directory = tmp_path_factory.mktemp("measurement") / "bundle"
    shutil.copytree(convolutional_bundle.directory, directory)
    assert firmware.prepare(directory, Manifest.load(directory)).newly_built
    return directory
