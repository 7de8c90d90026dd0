"""What a compiled program sends between devices, read from its optimised HLO."""

import dataclasses
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
        kind: one of `KINDS`.
        shape: of the array on each device: of a gather's result, of a reduction's operand and result.
        bytes: of the array.
        times: how often a run of the program does it.
        source: where in the traced program it comes from.
    """

    kind: str
    shape: tuple[int, ...]
    bytes: int
    times: int
    source: str


def collectives(hlo: str) -> list[Collective]:
    """All collectives of a compiled program.

    Args:
        hlo: optimised, as `jitted.lower(…).compile().as_text()` gives it.

    Raises:
        ValueError: they are of a form that this does not read, or in a loop that runs nobody knows how often.
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
        raise ValueError("no ENTRY: not the text of a compiled program")
    return list(_of_computation(entry, 1, bodies))


def total_bytes(found: list[Collective], kind: str) -> int:
    """Bytes of all arrays of a kind, each as often as it is sent."""
    return sum(one.bytes * one.times for one in found if one.kind == kind)


def _of_computation(name: str, times: int | None, bodies: dict[str, list[str]]) -> Iterator[Collective]:
    for line in bodies[name]:
        instruction = _INSTRUCTION.match(line)
        if instruction is None:
            continue
        result, operation = instruction.groups()
        if operation.removesuffix("-start") in KINDS:
            if operation not in KINDS or times is None:
                raise ValueError(f"{line.strip()[:100]}: asynchronous, or in a loop without a known trip count")
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
                yield from _of_computation(computation, inner, bodies)


def _arrays(result: str, kind: str, times: int, line: str) -> Iterator[Collective]:
    source = re.search(r'op_name="([^"]*)"', line)
    for dtype, sizes in _SHAPE.findall(result):
        shape = tuple(int(size) for size in sizes.split(",") if size)
        count = 1
        for size in shape:
            count *= size
        yield Collective(kind, shape, count * _BYTES[dtype], times, source[1] if source else "")
