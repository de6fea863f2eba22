"""Benchmarks of the engine: its kernels against recorded figures, a whole model against CMSIS-NN."""
