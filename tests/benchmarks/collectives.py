"""Reads the collectives of a compiled program from its optimised HLO."""

import dataclasses
import math
import re
from collections.abc import Iterator

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.*?) ([a-z\-]+)\(")
_SHAPE = re.compile(r"([a-z]+\d*)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Collective:
    """An array that a program gathers, reduces or sends.

    Attributes:
        kind: One of `KINDS`.
        shape: Shape of the result on each device.
        bytes: Size of the result on each device.
        times: Number of executions per run of the program.
        source: Name of the operation in the traced program.
    """

    kind: str
    shape: tuple[int, ...]
    bytes: int
    times: int
    source: str


def collectives(hlo: str) -> list[Collective]:
    """Returns all collectives of a compiled program.

    Args:
        hlo: The optimised HLO, `jitted.lower(…).compile().as_text()`.

    Raises:
        ValueError: The text has no entry, a collective is asynchronous, or it is in a loop without a known trip count.
    """
    bodies: dict[str, list[str]] = {}
    entry = name = ""
    for line in hlo.splitlines():
        if header := _COMPUTATION.match(line):
            name = header[2]
            bodies[name] = []
            entry = name if header[1] else entry
        elif name:
            bodies[name].append(line)
    if not entry:
        raise ValueError("the text has no ENTRY; pass the optimised HLO of a compiled program")
    return list(_in_computation(entry, 1, bodies))


def total_bytes(found: list[Collective], kind: str) -> int:
    """Returns the bytes of all arrays of a kind, counted per execution."""
    return sum(each.bytes * each.times for each in found if each.kind == kind)


def _in_computation(name: str, times: int | None, bodies: dict[str, list[str]]) -> Iterator[Collective]:
    for line in bodies[name]:
        instruction = _INSTRUCTION.match(line)
        if instruction is None:
            continue
        result, operation = instruction.groups()
        if operation.removesuffix("-start") in KINDS:
            if operation not in KINDS or times is None:
                raise ValueError(
                    f"{line.strip()[:100]}: the collective is asynchronous or in a loop without a known trip count"
                )
            yield from _arrays(result, operation, times, line)
        elif operation in ("while", "call", "conditional"):
            called = _CALLED.findall(line)
            for branches in _BRANCHES.findall(line):
                called += re.findall(r"[\w.\-]+", branches)
            inner = times
            if operation == "while":
                trips = _TRIPS.search(line)
                inner = times * int(trips[1]) if trips and times is not None else None
            for computation in called:
                yield from _in_computation(computation, inner, bodies)


def _arrays(result: str, kind: str, times: int, line: str) -> Iterator[Collective]:
    source = re.search(r'op_name="([^"]*)"', line)
    for dtype, sizes in _SHAPE.findall(result):
        shape = tuple(int(size) for size in sizes.split(",") if size)
        yield Collective(kind, shape, math.prod(shape) * _BYTES[dtype], times, source[1] if source else "")
