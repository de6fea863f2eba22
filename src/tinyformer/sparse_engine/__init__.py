"""The engine column: an int8 ONNX file in, C for a microcontroller out. NumPy and onnx, never torch."""
