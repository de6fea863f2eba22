"""Disassemble an image and check that it only has instructions that the core executes.

Neither emulator does: both run DSP instructions on a Cortex-M3 and double precision on a single-precision FPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tinyformer.boards import Isa
from tinyformer.errors import MissingExtraError, ToolchainError
from tinyformer.sparse_engine.elf import ElfImage

_NEEDED_BY_GROUP: Mapping[str, str] = MappingProxyType(
    {
        "dpvfp": "double",
        "vfp2": "fpu",
        "vfp3": "fpu",
        "vfp4": "fpu",
        "fparmv8": "fpu",
        "THUMB2DSP": "dsp",
        "T2EXTRACTPACK": "dsp",
        "thumb2": "thumb2",
        "divide": "thumb2",
    }
)
"""Capstone's instruction group -> the feature it needs. Loads, stores and moves of doubles are not in dpvfp."""

_ARMV6M_WIDE = frozenset({"dmb", "dsb", "isb", "mrs", "msr"})
"""The 32-bit instructions of Armv6-M that capstone counts as Thumb-2."""

_LACKS: Mapping[str, str] = MappingProxyType(
    {
        "double": "has no double-precision FPU here",
        "fpu": "has no FPU here",
        "dsp": "has no DSP extension here",
        "thumb2": "has the instructions of Armv6-M only",
    }
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of an image, as capstone writes it, with the core features that it needs."""

    address: int
    size: int
    mnemonic: str
    operands: str
    needs: frozenset[str]

    def __str__(self) -> str:
        return f"{self.mnemonic} {self.operands}".strip()


def instructions(image: ElfImage) -> Iterator[Instruction]:
    """Yield every instruction of the image's functions, literals left out, in the order of addresses.

    Raises:
        MissingExtraError: the ``capstone`` package is not installed.
        ToolchainError: some bytes are no instruction.
    """
    try:
        import capstone
    except ImportError:
        raise MissingExtraError("capstone", "emulator", "disassembling an image") from None
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8)
    decoder.detail = True
    for start, end in image.code:
        position = start
        for found in decoder.disasm(image.read(start, end - start), start):
            groups = (found.group_name(group) for group in found.groups)
            needs = frozenset(_NEEDED_BY_GROUP[group] for group in groups if group in _NEEDED_BY_GROUP)
            if found.mnemonic in _ARMV6M_WIDE:
                needs = frozenset()
            yield Instruction(found.address, found.size, found.mnemonic, found.op_str, needs)
            position = found.address + found.size
        if position < end:
            raise ToolchainError(f"the bytes at {_where(image, position)} are no instruction that is known")


def check(image: ElfImage, isa: Isa) -> None:
    """Check that a core executes every instruction of an image.

    Raises:
        MissingExtraError: the ``capstone`` package is not installed.
        ToolchainError: names the first instruction that the core lacks, and its function.
    """
    features = core_features(isa)
    for instruction in instructions(image):
        missing = [reason for feature, reason in _LACKS.items() if feature in instruction.needs - features]
        if missing:
            raise ToolchainError(
                f"the image has '{instruction}' at {_where(image, instruction.address)}, but the {isa.core}"
                f" {missing[0]}: compile every source for this board"
            )


def core_features(isa: Isa) -> frozenset[str]:
    """Return what a core has of ``thumb2``, ``dsp``, ``fpu`` and ``double``."""
    has = {
        "thumb2": isa.core != "cortex-m0plus",
        "dsp": isa.dsp,
        "fpu": isa.fpu != "none",
        "double": isa.fpu == "dp",
    }
    return frozenset(feature for feature, present in has.items() if present)


def _where(image: ElfImage, address: int) -> str:
    function = image.function_at(address)
    place = f"{address:#010x}"
    return place if function is None else f"{function.name}+{address - function.address:#x} ({place})"
