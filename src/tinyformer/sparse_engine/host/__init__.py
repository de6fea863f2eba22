"""The generated C on this machine: the same integers as on the microcontroller, over NumPy arrays."""

from tinyformer.sparse_engine.host.model import HostModel, load

__all__ = ["HostModel", "load"]
