"""Undo the fusion of pooling and attention: what a library without such operators computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinyformer.sparse_engine.ir import DType, Graph, Node, Tensor
from tinyformer.sparse_engine.ops import Attention, PooledConv2D


def split_fused(graph: Graph) -> Graph:
    """Turn every PooledConv2D and Attention into the operators it is made of.

    The last of them keeps name and output; the others are called ``<name>/conv``, ``<name>/scores`` and
    ``<name>/weights``. The tensors between them are those of the unfused graph, where the operator knows them, and
    called like the nodes where it does not.
    """
    tensors = dict(graph.tensors)
    nodes: list[Node] = []
    for node in graph.nodes:
        before = node.inputs[0]
        *steps, (op, others) = _parts(node)
        known = getattr(node.op, "inside", ())
        for index, (part, step, inputs, quant) in enumerate(steps):
            name = f"{node.name}/{part}"
            shape = step.infer_shape([tensors[x].shape for x in (before, *inputs)])
            between = known[index] if known else Tensor(name, shape, DType.INT8, quant)
            tensors[between.name] = between
            nodes.append(Node(name, step, (before, *inputs), between.name))
            before = between.name
        nodes.append(replace(node, op=op, inputs=(before, *others)))
    return graph.with_(nodes=nodes, tensors=tensors)


def parent(name: str, graph: Graph) -> str:
    """Return the node of the fused graph that a node of the split one belongs to."""
    return name if name in {node.name for node in graph.nodes} else name.rpartition("/")[0]


def _parts(node: Node) -> tuple[Any, ...]:
    """Return the parts of a node; each reads what the one before gives, the first the node's first input.

    Returns:
        For all but the last (name, operator, further inputs, quantisation of the output), then (operator, further
        inputs).
    """
    op, (_, *others) = node.op, node.inputs
    if isinstance(op, PooledConv2D):
        return ("conv", op.conv, tuple(others), op.quant), (op.pool, ())
    if isinstance(op, Attention):
        key, value = others
        scores = ("scores", op.scores, (key,), op.scores_quant)
        return scores, ("weights", op.softmax, (), op.weights_quant), (op.context, (value,))
    return ((op, tuple(others)),)
