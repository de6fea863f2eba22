"""Serial ports, played by pseudo-terminals: raw bytes both ways, and one-line errors."""

import fcntl
import os
import pty
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyformer.errors import BoardError, ConfigError
from tinyformer.sparse_engine.measurement import serial_port
from tinyformer.sparse_engine.measurement.serial_port import SerialPort

EVERY_BYTE = bytes(range(256))


@pytest.fixture
def ends() -> Iterator[tuple[int, str]]:
    """The board's end of a line, and the path of the host's."""
    board, host = pty.openpty()
    path = os.ttyname(host)
    yield board, path
    os.close(board)
    os.close(host)


def test_bytes_pass_unchanged_both_ways(ends: tuple[int, str]) -> None:
    board, path = ends
    with SerialPort(path, 115200) as port:
        os.write(board, EVERY_BYTE)
        received = b""
        while len(received) < 256:
            received += port.read(1.0)
        port.write(EVERY_BYTE)
        assert received == EVERY_BYTE
        assert os.read(board, 1000) == EVERY_BYTE  # and no echo of what the board sent


def test_what_came_before_is_dropped(ends: tuple[int, str]) -> None:
    board, path = ends
    os.write(board, b"old\n")
    time.sleep(0.05)
    with SerialPort(path, 115200) as port:
        assert port.read(0.05) == b""


def test_reading_takes_no_longer_than_it_may(ends: tuple[int, str]) -> None:
    with SerialPort(ends[1], 115200) as port:
        start = time.monotonic()
        assert port.read(0.1) == b""
        assert 0.09 < time.monotonic() - start < 5


def test_a_board_that_does_not_read_blocks_nothing(ends: tuple[int, str]) -> None:
    with SerialPort(ends[1], 115200) as port:
        for _ in range(100):
            port.write(EVERY_BYTE)


def test_unplugged() -> None:
    board, host = pty.openpty()
    with SerialPort(os.ttyname(host), 115200) as port:
        os.close(host)
        os.close(board)
        with pytest.raises(BoardError, match="is gone: the board was unplugged"):
            port.read(1.0)
        with pytest.raises(BoardError, match="is gone"):
            port.write(b"p")


def test_busy(ends: tuple[int, str]) -> None:
    other = os.open(ends[1], os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ConfigError, match="another program uses it: close terminals"):
        SerialPort(ends[1], 115200)
    os.close(other)
    with SerialPort(ends[1], 115200), pytest.raises(ConfigError, match="another program uses it"):
        SerialPort(ends[1], 115200)


def test_missing_port_lists_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_port, "_DEVICES", tmp_path)
    with pytest.raises(ConfigError, match="does not exist: no USB serial port is there, connect the board"):
        SerialPort(str(tmp_path / "none"), 115200)
    (tmp_path / "ttyACM0").touch()
    with pytest.raises(ConfigError, match=r"does not exist: there are .*/ttyACM0$"):
        SerialPort(str(tmp_path / "none"), 115200)


def test_what_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="it is not a serial port"):
        SerialPort(str(tmp_path / "file"), 115200)
    with pytest.raises(ConfigError, match="it is a directory"):
        SerialPort(str(tmp_path), 115200)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_port_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o000)
    with pytest.raises(ConfigError, match="sudo usermod -aG dialout"):
        SerialPort(str(tmp_path / "file"), 115200)


@pytest.mark.parametrize("baud", [0, 12345, -9600])
def test_rate_that_does_not_exist(ends: tuple[int, str], baud: int) -> None:
    with pytest.raises(ConfigError, match=rf"{baud} baud is not a rate of this system: choose one of 9600.* 115200"):
        SerialPort(ends[1], baud)


def test_a_system_without_terminals_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "termios", None)
    with pytest.raises(ConfigError, match="on Linux and macOS only"):
        SerialPort("COM3", 115200)
