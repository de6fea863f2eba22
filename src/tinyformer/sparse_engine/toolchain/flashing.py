"""How an image gets onto a board: one line for a shell."""

from __future__ import annotations

from collections.abc import Mapping

from tinyformer.boards import Board

_COMMANDS: Mapping[str, str] = {
    "stm32f746g-disco": "openocd -f board/stm32f746g-disco.cfg -c 'program {path}.elf verify reset exit'",
    "nucleo-f746zg": "openocd -f board/st_nucleo_f7.cfg -c 'program {path}.elf verify reset exit'",
    "nucleo-l4r5zi": "openocd -f board/st_nucleo_l4.cfg -c 'program {path}.elf verify reset exit'",
    "nucleo-h743zi2": "openocd -f board/st_nucleo_h743zi.cfg -c 'program {path}.elf verify reset exit'",
    "nucleo-f103rb": "openocd -f board/st_nucleo_f103rb.cfg -c 'program {path}.elf verify reset exit'",
    "nrf52840-dk": "openocd -f board/nordic_nrf52_dk.cfg -c 'program {path}.elf verify reset exit'",
    "rpi-pico": "openocd -f interface/cmsis-dap.cfg -f target/rp2040.cfg -c 'program {path}.elf verify reset exit'",
    "rpi-pico2": "openocd -f interface/cmsis-dap.cfg -f target/rp2350.cfg -c 'program {path}.elf verify reset exit'",
    "mps2-an500": "qemu-system-arm -M mps2-an500 -nographic -semihosting -kernel {path}.elf",
}
_OTHERWISE = "st-flash --reset write {path}.bin {origin:#010x}"


def line(board: Board, path: str) -> str:
    """Return the command that programs a board.

    Args:
        board: the board; one that is not built in gets a line for an ST-LINK with the address of its flash.
        path: of the image, without the ending.
    """
    return _COMMANDS.get(board.name, _OTHERWISE).format(path=path, origin=board.flash.origin)
