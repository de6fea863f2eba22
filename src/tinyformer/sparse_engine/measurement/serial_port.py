"""A serial port in raw mode, on POSIX systems: 8 bits, no parity, 1 stop bit, no flow control, and no other program."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from tinyformer.errors import BoardError, ConfigError

_READ_BYTES = 4096
_PORTS = ("ttyACM*", "ttyUSB*", "cu.usbmodem*", "cu.usbserial*")
_DEVICES = Path("/dev")

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        errno.EACCES: "you may not use it: join its group (on Debian and Ubuntu: sudo usermod -aG dialout $USER, then"
        " log in again)",
        errno.EPERM: "you may not use it: join its group",
        errno.EBUSY: "another program uses it: close terminals and debuggers on this port",
        errno.EAGAIN: "another program uses it: close terminals and debuggers on this port",
        errno.ENOTTY: "it is not a serial port",
        errno.EISDIR: "it is a directory, not a serial port",
    }
)


class SerialPort:
    """An open serial port; ``with`` closes it.

    Args:
        path: the device, such as /dev/ttyACM0.
        baud: bits per second, one of the rates of the operating system.

    Raises:
        ConfigError: this system has no such ports, or the port or the rate does not exist, or another program uses it.
    """

    def __init__(self, path: str, baud: int) -> None:
        self._path = path
        rate = _rate(baud)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            self._claim(rate)
        except BaseException:
            os.close(self._file)
            raise

    def _claim(self, rate: int) -> None:
        import fcntl
        import termios

        try:
            # in this order: tcgetattr says what is no port
            settings = termios.tcgetattr(self._file)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            control_characters = settings[6]
            control_characters[termios.VMIN] = control_characters[termios.VTIME] = 0
            control = termios.CS8 | termios.CREAD | termios.CLOCAL
            termios.tcsetattr(self._file, termios.TCSANOW, [0, 0, control, 0, rate, rate, control_characters])
            termios.tcflush(self._file, termios.TCIOFLUSH)
        except (OSError, termios.error) as error:
            raise _unusable(self._path, error) from error

    def __enter__(self) -> SerialPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, data: bytes) -> None:
        """Send bytes; those for which the port has no room are dropped.

        Raises:
            BoardError: the port is gone.
        """
        try:
            os.write(self._file, data)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._gone() from error

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes that came, as soon as there are some; none after ``timeout_s`` seconds.

        Raises:
            BoardError: the port is gone.
        """
        readable, _, _ = select.select([self._file], [], [], timeout_s)
        if not readable:
            return b""
        try:
            data = os.read(self._file, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        return data

    def _gone(self) -> BoardError:
        return BoardError(f"{self._path} is gone: the board was unplugged; connect it and run the command again")


def _rate(baud: int) -> int:
    """Return the operating system's code of a rate."""
    try:
        import termios
    except ImportError:
        raise ConfigError(
            "serial ports are read on Linux and macOS only: on Windows, attach the board to WSL (usbipd) and run there"
        ) from None
    rates = {
        int(name[1:]): int(code) for name, code in vars(termios).items() if name[0] == "B" and name[1:].isdecimal()
    }
    if baud not in rates or baud == 0:
        usual = ", ".join(str(rate) for rate in sorted(rates) if rate >= 9600)
        raise ConfigError(f"{baud} baud is not a rate of this system: choose one of {usual}")
    return rates[baud]


def _unusable(path: str, error: Any) -> ConfigError:
    number = error.args[0]
    if number == errno.ENOENT:
        ports = sorted(str(found) for pattern in _PORTS for found in _DEVICES.glob(pattern))
        there = f"there are {', '.join(ports)}" if ports else "no USB serial port is there, connect the board"
        return ConfigError(f"serial port {path} does not exist: {there}")
    return ConfigError(f"serial port {path}: {_REASONS.get(number, os.strerror(number))}")
