"""Bundles that several test files look at, compiled once per worker."""

import pytest

from engine_models import convolutional_net, transformer_net
from tinyformer.sparse_engine.compiler import compile_graph


@pytest.fixture(scope="session")
def convolutional_bundle(tmp_path_factory):
    """The convolutional net, compiled with an image for the STM32F746."""
    return compile_graph(convolutional_net(), "stm32f746g-disco", tmp_path_factory.mktemp("bundles") / "convolutional")


@pytest.fixture(scope="session")
def transformer_bundle(tmp_path_factory):
    """The transformer, compiled with an image for the STM32F746."""
    return compile_graph(transformer_net(), "stm32f746g-disco", tmp_path_factory.mktemp("bundles") / "transformer")
