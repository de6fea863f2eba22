"""The kernel catalogue and the selection of kernels and weight encodings."""

from tinyformer.sparse_engine.kernels.alike import once_for_each_object
from tinyformer.sparse_engine.kernels.calls import (
    Argument,
    CCall,
    IntegerArgument,
    KernelCall,
    Params,
    ScratchArgument,
    TensorArgument,
    WeightsArgument,
)
from tinyformer.sparse_engine.kernels.catalogue import CATALOGUE, Kernel
from tinyformer.sparse_engine.kernels.selection import Flash, Objective, Predict, SoftmaxVariant, fill, select

__all__ = [
    "CATALOGUE",
    "Argument",
    "CCall",
    "Flash",
    "IntegerArgument",
    "Kernel",
    "KernelCall",
    "Objective",
    "Params",
    "Predict",
    "ScratchArgument",
    "SoftmaxVariant",
    "TensorArgument",
    "WeightsArgument",
    "fill",
    "once_for_each_object",
    "select",
]
