"""Tables of runs that differ in one thing: what each run file says, and what is recorded of them."""

import json
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLES = ("table2", "fig10b", "distillation")
RECORDED = TABLES


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module(request.param)


def base(table: ModuleType) -> Any:
    return tomllib.loads((BENCHMARKS.parent / "configs" / table.BASE).read_text())


def test_every_variant_is_a_run_file_of_its_own(table: ModuleType) -> None:
    files = [table.variants.run_file(base(table), variant) for variant in table.VARIANTS]
    spaces = [file.space.space((32, 32, 3), 10) for file in files]
    assert len({(repr(space), repr(file.finetune)) for space, file in zip(spaces, files, strict=True)}) == len(files)
    assert len({variant.name for variant in table.VARIANTS}) == len(files)


def test_variants_of_table2_leave_out_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    table2 = import_module("table2")
    spaces = {
        variant.name: table2.variants.run_file(base(table2), variant).space.space((32, 32, 3), 10)
        for variant in table2.VARIANTS
    }
    assert not spaces["no-transformer"].transformer
    assert len(spaces["single-dot"].dots) == 1 < len(spaces["normal"].dots)
    assert (spaces["block-2"].block_sizes, spaces["block-4"].block_sizes) == ((2,), (4,))


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_table_is_of_the_base_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    table = import_module(name)
    record = json.loads((BENCHMARKS / f"{name}.json").read_text())
    assert record["base"] == base(table)
    assert [row["model"] for row in record["rows"]] == [variant.title for variant in table.VARIANTS]
    assert (BENCHMARKS / f"{name}.md").read_text() == table.to_markdown(record["rows"])


def test_with_only_the_rows_of_the_others_stay_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    table2 = import_module("table2")
    whole = json.loads((BENCHMARKS / "table2.json").read_text())
    another = {**whole["rows"][2], "accuracy_int8": 0.5}
    for base, left in ((whole["base"], whole["rows"]), ({"other": 1}, [])):
        (tmp_path / "table2.json").write_text(json.dumps({**whole, "base": base}))
        monkeypatch.setattr(table2.variants, "run", lambda *_: another)
        monkeypatch.setattr("sys.argv", ["table2.py", "--into", str(tmp_path), "--only", "single-dot"])
        table2.variants.main("table2", "", table2.BASE, table2.VARIANTS, table2.to_markdown)
        written = json.loads((tmp_path / "table2.json").read_text())
        assert written["base"] == whole["base"]
        assert written["rows"] == ([*left[:2], another, *left[3:]] if left else [another])
        assert "50.00%" in capsys.readouterr().out
