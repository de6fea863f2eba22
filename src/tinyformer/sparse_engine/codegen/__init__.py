"""Code generation: kernel calls, memory plan and encoded weights -> C text."""

from tinyformer.sparse_engine.codegen.buffers import Buffers
from tinyformer.sparse_engine.codegen.constants import ConstantArray, ConstantPool
from tinyformer.sparse_engine.codegen.model import Provenance, emit
from tinyformer.sparse_engine.codegen.text import check_name

__all__ = ["Buffers", "ConstantArray", "ConstantPool", "Provenance", "check_name", "emit"]
