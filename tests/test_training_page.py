"""docs/training.md: the board and the run file that train a teacher mean what the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np

from tinyformer import boards, config
from tinyformer.resources import resource_eval
from tinyformer.search_space import SparsityConfig, count_parameters, sample_path, sample_supernet, supernet_parameters

PAGE = Path(__file__).parents[1] / "docs" / "training.md"


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_teacher_of_the_page_is_one_big_dense_model_that_fits(tmp_path: Path) -> None:
    with_a_teacher, board_file, run_file, aware = blocks()
    assert config.parse(tomllib.loads(with_a_teacher)).finetune.teacher
    assert config.parse(tomllib.loads(aware)).finetune.qat_epochs
    path = tmp_path / tomllib.loads(run_file)["board"]
    path.write_text(board_file, encoding="utf-8")
    board, run = boards.load(path), config.parse(tomllib.loads(run_file))
    space = run.space.space((32, 32, 3), 10)
    assert all(len(parameter.choices) == 1 for parameter in supernet_parameters(space))
    assert space.sparsities == (0.0,)
    supernet = sample_supernet(space, np.random.default_rng(0))
    only = sample_path(supernet, np.random.default_rng(0))
    limits = run.limits.limits(board)
    resources = resource_eval(board, limits, run.compile.objective)(
        supernet, only, SparsityConfig.uniform(supernet, 0.0, space.block_sizes[0])
    )
    assert not limits.exceeded(resources)
    assert count_parameters(supernet, only) > 4_000_000
