"""Put movement right before its first reader, so that the order of nodes does not depend on the exporter's."""

from __future__ import annotations

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Reshape, Transpose


def place_movement(graph: Graph) -> Graph:
    """Order Reshape and Transpose nodes right before their first reader, in the order of its inputs."""
    producers = graph.producers()
    placed: dict[str, Node] = {}  # by output, in the new order

    def place(name: str) -> None:
        pending = [name]
        while pending:
            producer = producers.get(pending[-1])
            if producer is None or producer.output in placed or not isinstance(producer.op, Reshape | Transpose):
                pending.pop()
            elif producers.get(producer.inputs[0]) is not None and producer.inputs[0] not in placed:
                pending.append(producer.inputs[0])
            else:
                placed[producer.output] = producer
                pending.pop()

    for node in graph.nodes:
        if not isinstance(node.op, Reshape | Transpose):
            for name in node.inputs:
                place(name)
            placed[node.output] = node
    place(graph.output)
    return graph.with_(nodes=tuple(placed.values()))
