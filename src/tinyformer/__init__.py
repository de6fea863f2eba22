"""TinyFormer: sparse transformers for microcontrollers, from a dataset to a proven image."""
