"""The run file of a search, a fine-tuning and a proof that take seconds."""

RUN_FILE = """
name = "tiny"
seed = 1
[analysis]
samples = 4
threshold = 0.0
[space]
preset = "digits"
[supernas]
supernets = 2
paths = 1
sparsities = 2
test_paths = 2
epochs = 1
batch_size = 64
[sparsenas]
candidates = 2
epochs = 1
prune_epochs = 1
ramp_epochs = 1
batch_size = 64
[finetune]
epochs = 2
ramp_epochs = 1
batch_size = 64
[training]
preset = "digits"
[calibration]
samples = 32
[verify]
device_samples = 4
"""
