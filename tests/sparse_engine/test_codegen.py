"""Generated C: names, comments, literals, the golden text of a small graph."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_models import convolutional_net, transformer_net
from tinyformer import boards
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import codegen, coding, kernels, memory, toolchain
from tinyformer.sparse_engine.bundle import files as bundle_files
from tinyformer.sparse_engine.codegen import reserved, text
from tinyformer.sparse_engine.ir import GraphError, Node
from tinyformer.sparse_engine.synthetic import GraphBuilder
from tinyformer.sparse_engine.toolchain import port

BOARD = boards.load("stm32f746g-disco")
PROVENANCE = codegen.Provenance("1.2.3", "00ff" * 16, BOARD.name, "size")
GOLDEN = Path(__file__).parent / "golden_c"


def emit(graph, name="net", **options):
    calls = kernels.select(graph, coding.options(graph), BOARD)
    choice = {call.node.name: call.encoding for call in calls if call.encoding is not None}
    encoded = coding.encode(graph, choice)
    return codegen.emit(graph, calls, memory.plan(graph, calls), encoded, name, provenance=PROVENANCE, **options)


def small_graph():
    b = GraphBuilder((4, 4, 2), seed=5, name="small")
    x = b.conv2d(b.input, 4, (3, 3), padding=(1, 1, 1, 1))
    x = b.pad(x, (0, 0, 0), (0, 1, 0))
    x = b.conv2d(x, 8, (1, 1), sparsity=0.8, block=4)
    x = b.lookup(b.reshape(x, (160,)))
    return b.finish(b.linear(x, 3))


def test_golden_text():
    """Regenerate with: python -c "import test_codegen; test_codegen.regenerate()" in this directory."""
    emitted = emit(small_graph(), labels=('say "cheese"', "b", "c"))
    assert set(emitted) == {path.name.removesuffix(".txt") for path in GOLDEN.iterdir()}
    for name, content in emitted.items():
        assert content == (GOLDEN / f"{name}.txt").read_text(), name


def regenerate():
    GOLDEN.mkdir(exist_ok=True)
    for name, content in emit(small_graph(), labels=('say "cheese"', "b", "c")).items():
        (GOLDEN / f"{name}.txt").write_text(content)


def test_text_is_deterministic():
    assert emit(transformer_net()) == emit(transformer_net())


def write_sources(graph, directory, name="net"):
    bundle_files.write(directory, name, emit(graph, name), port.files(BOARD, name), graph, PROVENANCE)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["zig", pytest.param("gcc", marks=pytest.mark.full)])
def test_generated_c_has_no_warnings(tmp_path, compiler):
    for index, graph in enumerate((small_graph(), convolutional_net(), transformer_net())):
        directory = tmp_path / str(index)
        directory.mkdir()
        write_sources(graph, directory)
        sources = [directory / "net.c", directory / "net_weights.c"]
        toolchain.find(compiler).check(sources, [directory, directory / "runtime"], BOARD.isa)


def test_names_of_the_file_stay_out_of_identifiers():
    graph = small_graph()
    evil = 'x*/ int y; /* "\\\n??/'
    nodes = [Node(f"{evil}{i}", n.op, n.inputs, n.output) for i, n in enumerate(graph.nodes)]
    emitted = emit(graph.with_(nodes=nodes))
    for content in emitted.values():
        assert "int y" not in re.sub(r"/\*.*?\*/", "", content, flags=re.S)
        assert "\\" not in content
        assert content.count("/*") == content.count("*/")


@given(st.text())
def test_comments_cannot_end_or_begin_in_text(value):
    cleaned = text.comment(value)
    assert re.fullmatch(r"[A-Za-z0-9_./ ,:%>()-]*", cleaned)
    assert len(cleaned) == len(value)


@given(st.text())
def test_strings_are_plain_ascii_and_mean_their_bytes(value):
    literal = text.string(value)
    assert re.fullmatch(r'"([A-Za-z0-9_.+ -]|\\[0-7]{3})*"', literal)
    read = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), literal[1:-1])
    assert read.encode("latin-1") == value.encode()


@pytest.mark.parametrize("name", ["model", "a", "Net_2", "x" * 40])
def test_good_names(name):
    assert codegen.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "2net", "net-1", "net\n", "_net", "é", "int", "Main", "class", "se", "se_kernels", "SE_x", "x" * 41, "a b"],
)
def test_bad_names(name):
    with pytest.raises(ConfigError):
        codegen.check_name(name)


@pytest.mark.parametrize("name", ["features", "Features", "stdint", "string", "arm_acle", "board", "port"])
def test_names_of_headers_are_refused(name):
    """``<name>.h`` would be found where the C library or the port includes its own."""
    with pytest.raises(
        ConfigError, match=rf"name '{name}' would hide the header {name.lower()}\.h of .*: choose another"
    ):
        codegen.check_name(name)


def test_every_header_of_the_port_is_known():
    ports = Path(toolchain.__file__).parents[1] / "runtime" / "ports"
    assert {path.name.partition(".")[0] for path in ports.iterdir() if ".h" in path.suffixes} == reserved.PORT_HEADERS


@pytest.mark.parametrize(
    ("value", "literal"), [(0, "0"), (-5, "-5"), (-(2**31), "(-2147483647 - 1)"), (2**31, "2147483648LL")]
)
def test_integers(value, literal):
    assert text.integer(value) == literal


@given(st.floats(2.0**-40, 2.0**40, width=32))
def test_reals_read_back(value):
    literal = text.real(value)
    assert literal.endswith("f")
    assert "." in literal or "e" in literal
    assert np.float32(literal[:-1]) == np.float32(value)


def test_lines_stay_short():
    for content in emit(convolutional_net()).values():
        assert max(map(len, content.splitlines())) <= 120


def test_equal_constants_are_stored_once():
    b = GraphBuilder((6, 8))
    constant = b.constant((8,))
    graph = b.finish(b.mul(b.mul(b.input, constant), constant))
    weights = emit(graph)["net_weights.c"]
    assert weights.count("const int8_t") == 1


def test_a_graph_that_is_not_lowered_is_refused():
    b = GraphBuilder((6, 8))
    graph = b.finish(b.linear(b.input, 3))
    (node,) = graph.nodes
    raw = graph.with_(nodes=[Node(node.name, type(node.op)(), node.inputs, node.output)])
    with pytest.raises(GraphError, match="left_shift is not computed"):
        emit(raw)


def test_output_that_is_the_input_is_copied():
    b = GraphBuilder((6, 8))
    emitted = emit(b.finish(b.reshape(b.input, (48,))))
    assert "memcpy(output, input, NET_OUTPUT_BYTES);" in emitted["net.c"]
    assert "NET_ARENA_BYTES 0" in emitted["net.h"]
