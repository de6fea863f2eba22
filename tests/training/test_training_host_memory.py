import platform
import resource

import pytest
import torch

from tinyformer.training.host_memory import kept_memory

_BLOCK = 16 << 20  # float32 elements: 64 MB


def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_blocks_are_reused_inside_the_context():
    with kept_memory(torch.device("cpu")):
        for _ in range(3):
            torch.ones(_BLOCK)
        before = page_faults()
        for _ in range(5):
            torch.ones(_BLOCK)
        assert page_faults() - before < 500


def test_other_devices_are_left_alone():
    with kept_memory(torch.device("meta")):
        pass
