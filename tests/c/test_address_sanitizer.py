"""The kernel tests once more, under gcc's address sanitiser (zig cannot link it)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.full
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_kernels_under_the_address_sanitizer():
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)  # noqa: S607
    environment = {
        **os.environ,
        "TINYFORMER_TEST_SANITIZER": "address",
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not full and not emulator"]
    result = subprocess.run(
        [*command, str(Path(__file__).parent)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
