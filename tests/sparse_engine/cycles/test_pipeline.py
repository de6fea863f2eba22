"""Issue rules: what the cited measurements say about short sequences is what the simulation gives."""

import pytest

from tinyformer.sparse_engine import cycles
from tinyformer.sparse_engine.cycles.operation import Decoder
from tinyformer.sparse_engine.cycles.pipeline import Pipeline, Step
from tinyformer.sparse_engine.elf import ElfImage, Segment

CODE = {
    "add r1": "01f10101",  # add.w r1, r1, #1
    "add r2": "02f10102",
    "add r2, r1": "01eb0302",  # add.w r2, r1, r3
    "add r2, r0": "00eb0302",
    "mov r0": "0846",  # mov r0, r1
    "shifted r1": "02eb8301",  # add.w r1, r2, r3, lsl #2
    "shifted r5": "86eaf705",  # eor.w r5, r6, r7, ror #3
    "smlad r3": "20fb0233",  # smlad r3, r0, r2, r3
    "smlad r4": "20fb0244",
    "smlad r3, r1": "21fb0233",
    "sxtb16 r7": "2ffa88f7",
    "sxtb16 r9": "2ffa8af9",
    "ldr r1": "0168",  # ldr r1, [r0]
    "ldr r1 post": "50f8041b",  # ldr.w r1, [r0], #4
    "ldr r2, even": "8268",  # ldr r2, [r0, #8]
    "ldr r2, odd": "4268",  # ldr r2, [r0, #4]
    "ldrb r1": "0178",
    "ldrd": "d0e90045",
    "ldm 4": "90e81e00",
    "str": "3560",
    "strb": "3570",
    "sdiv": "91fbf2f0",
    "nop": "aff30080",
}


def steps(*names: str, core: str = "cortex-m7") -> list[Step]:
    """The named instructions, loads at the bank of their offset from an even word."""
    code = b"".join(bytes.fromhex(CODE[name]) for name in names)
    image = ElfImage((Segment(0, 0, code, len(code)),), {}, {}, (), (), (), len(code), 0, 0)
    rules = cycles.load(core)
    found = []
    for operation in Decoder(image).block(0, len(code)):
        bank = operation.access.offset >> 2 & 1 if operation.access is not None else -1
        found.append(Step(operation, rules.rule(operation), bank))
    return found


def duration(*names: str, core: str = "cortex-m7") -> float:
    """Cycles that a sequence adds to a pipeline that has issued a pair of nops."""
    pipeline = Pipeline(cycles.load(core))
    pipeline.run(steps(*(("mov r0", "mov r0") if core == "cortex-m0plus" else ("nop", "nop")), core=core))
    start = pipeline.position
    pipeline.run(steps(*names, core=core))
    return pipeline.position - start


def each(*names: str, core: str = "cortex-m7", times: int = 50) -> float:
    """Cycles of one repetition in the long run."""
    pipeline = Pipeline(cycles.load(core))
    pipeline.run(steps(*names, core=core) * times)
    start = pipeline.position
    pipeline.run(steps(*names, core=core) * times)
    return (pipeline.position - start) / times


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("add r1", "add r2"), 1),
        (("smlad r3",), 1),  # a chain of accumulations runs every cycle
        (("smlad r3", "smlad r4"), 2),
        (("smlad r3", "add r1"), 1),
        (("smlad r3", "str"), 2),
        (("str", "str"), 2),
        (("ldr r1", "str"), 1),
        (("sxtb16 r7", "sxtb16 r9"), 2),
        (("sxtb16 r7", "add r1"), 1),
        (("shifted r1", "shifted r5"), 2),
        (("ldr r1", "ldr r2, odd"), 1),
        (("ldr r1", "ldr r2, even"), 2),
        (("ldrd",), 1),
        (("ldm 4",), 2),
        (("ldrd", "add r1"), 2),
        (("sdiv",), 7),
        (("strb",), 2.4),
        (("str",), 1),
        (("strb", *("nop",) * 6), 3.5),  # hidden behind other work
    ],
)
def test_throughput_of_the_m7(names: tuple[str, ...], expected: float) -> None:
    assert each(*names) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("mov r0", "add r2, r0"), 1),  # the early ALU feeds the late one in the same cycle
        (("ldr r1", "add r2, r1"), 1.5),  # a word is there in the next cycle
        (("ldrb r1", "add r2, r1"), 2.5),  # a byte one later
        (("ldr r1", "smlad r3, r1"), 2.5),  # no multiplicand from the load of the cycle before
        (("ldr r1", "shifted r5"), 1),
        (("ldr r1", "nop", "smlad r3, r1"), 2.5),
    ],
)
def test_latency_on_the_m7(names: tuple[str, ...], expected: float) -> None:
    assert duration(*names) == expected


@pytest.mark.parametrize(
    ("core", "names", "expected"),
    [
        ("cortex-m4", ("add r1", "add r2"), 2),
        ("cortex-m4", ("ldr r1",), 2),
        ("cortex-m4", ("ldr r1", "ldr r2, odd", "ldr r2, even"), 4),  # n loads take n + 1
        ("cortex-m4", ("ldr r1 post", "ldr r2, odd"), 4),  # the address comes from the load before
        ("cortex-m4", ("ldm 4",), 5),
        ("cortex-m4", ("smlad r3",), 1),
        ("cortex-m4", ("str",), 1),
        ("cortex-m3", ("ldr r1",), 2),
        ("cortex-m33", ("ldr r1",), 1),
        ("cortex-m33", ("ldr r1", "add r2, r1"), 3),  # a load's result is there two cycles later
        ("cortex-m33", ("ldm 4",), 4),
        ("cortex-m0plus", ("ldr r1",), 2),
        ("cortex-m0plus", ("mov r0",), 1),
    ],
)
def test_single_issue(core: str, names: tuple[str, ...], expected: float) -> None:
    assert duration(*names, core=core) == expected
