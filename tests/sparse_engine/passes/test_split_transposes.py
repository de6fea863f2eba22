from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyformer.sparse_engine import kernels, reference
from tinyformer.sparse_engine.kernels import movement
from tinyformer.sparse_engine.ops import Transpose
from tinyformer.sparse_engine.passes.split_transposes import split_transposes
from tinyformer.sparse_engine.synthetic import GraphBuilder


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=7).flatmap(
    lambda shape: st.tuples(st.just(tuple(shape)), st.permutations(range(len(shape))))
))  # fmt: skip
def test_any_permutation_becomes_copies_of_four_axes(case):
    shape, permutation = case
    builder = GraphBuilder(shape, seed=1)
    graph = builder.finish(builder.transpose(builder.input, tuple(permutation)))
    split = split_transposes(graph)
    split.verify()
    values = np.arange(prod(shape)).astype(np.int8).reshape(1, *shape)
    np.testing.assert_array_equal(reference.run(split, values)[0], values[0].transpose(permutation))
    for node in split.nodes:
        if isinstance(node.op, Transpose):
            source = split.tensors[node.inputs[0]].shape
            assert len(movement.transpose(source, node.op.permutation).merged().shape) <= kernels.movement.MOVE_AXES


def test_what_the_engine_can_walk_stays_as_it_is():
    builder = GraphBuilder((2, 3, 4, 5), seed=1)
    graph = builder.finish(builder.transpose(builder.input, (3, 1, 2, 0)))
    assert split_transposes(graph) == graph
