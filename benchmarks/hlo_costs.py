"""Costs of a compiled program, from its HLO: products, memory traffic, loop steps and collectives.

XLA's `cost_analysis` counts the body of a loop once, and the layers of a transformer are a loop. Here a body counts as
often as it runs. Of the branches of a conditional, the most expensive one counts: a `switch` over padded lengths is
counted at the greatest length.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from benchmarks.hlo import Array, Instruction, Module, attribute, product_flops

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "send")
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "iota"}
_FREE |= {"while", "conditional", "call", "async-start", "async-update"}
_UPDATES = {"dynamic-update-slice": 1, "scatter": 2}
"""Instructions that update their first operand in place, and the operand that they write to it."""
_COPIES = {"copy", "transpose", "reshape", "pad", "slice", "concatenate"}
_PASSES = {"highest": 6, "high": 3}
_SPREAD = "async_collective_fusion"
"""Start of the names of computations that carry out a part of a collective."""


@dataclasses.dataclass(frozen=True)
class Collective:
    """An array that a program gathers, reduces or sends.

    Attributes:
        kind: One of `COLLECTIVES`.
        shape: Shape of the result on each device.
        bytes: Size of the result on each device.
        times: Number of executions per run of the program.
        overlaps: Whether something is computed while it runs.
        source: Name of the operation in the traced program.
        channel: Identifies a collective that the compiler spreads over several computations; '' for all others.
    """

    kind: str
    shape: tuple[int, ...]
    bytes: float
    times: int
    overlaps: bool
    source: str
    channel: str = ""


@dataclasses.dataclass
class Costs:
    """Costs of a program on one chip.

    Attributes:
        flops: Floating-point operations of matrix products and convolutions.
        passes: The same, times the passes of bfloat16 that a TPU needs: six for the precision 'highest', three for
            'high'.
        traffic: Bytes that instructions read from and write to the main memory.
        copied: Bytes thereof that only change a layout or a place.
        steps: Iterations of all loops.
        unknown_loops: Number of loops of unknown length; their bodies count once.
        collectives: All collectives.
    """

    flops: float = 0
    passes: float = 0
    traffic: float = 0
    copied: float = 0
    steps: int = 0
    unknown_loops: int = 0
    collectives: tuple[Collective, ...] = ()

    def add(self, other: "Costs", times: int = 1) -> None:
        """Adds `times` the costs of a part."""
        self.flops += times * other.flops
        self.passes += times * other.passes
        self.traffic += times * other.traffic
        self.copied += times * other.copied
        self.steps += times * other.steps
        self.unknown_loops += other.unknown_loops
        self.collectives += tuple(dataclasses.replace(one, times=times * one.times) for one in other.collectives)

    def sent(self, kind: str) -> float:
        """Returns the bytes of all collectives of a kind, counted per execution."""
        return sum(one.bytes * one.times for one in self.collectives if one.kind == kind)


class CompiledProgram(Module):
    """A compiled program whose costs are counted; see `hlo.Module`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._known: dict[str, Costs] = {}

    def costs(self) -> Costs:
        """Returns the costs of the whole program.

        Raises:
            ValueError: A collective is in a loop without a known trip count.
        """
        costs = self._costs(self.entry)
        # A spread collective appears in each of its computations, in the bodies of loops, too, but runs once.
        spread: dict[tuple[str, tuple[int, ...]], Collective] = {}
        for one in costs.collectives:
            if one.channel and one.times <= spread.get((one.channel, one.shape), one).times:
                spread[one.channel, one.shape] = one
        others = tuple(one for one in costs.collectives if not one.channel)
        traffic = costs.traffic + sum(one.bytes for one in spread.values())
        return dataclasses.replace(costs, traffic=traffic, collectives=others + tuple(spread.values()))

    def _costs(self, name: str) -> Costs:
        if name in self._known:
            return self._known[name]
        total, body = Costs(), self.computations[name]
        for place, one in enumerate(body):
            self._add_called(total, one)
            is_free = (
                one.op in _FREE or one.op.endswith("-done") or 'custom_call_target="ConcatBitcast' in one.attributes
            )
            if not is_free:
                traffic = self._traffic(one)
                total.traffic += traffic
                total.copied += traffic if one.op in _COPIES else 0
            if one.op in ("dot", "convolution"):
                flops = product_flops(one, *(self.by_name[name].arrays[0].dims for name in one.operands[:2]))
                total.flops += flops
                total.passes += flops * _passes(one)
            if one.op.removesuffix("-start") in COLLECTIVES:
                found = self._collectives(one, body[place + 1 :])
                if name.startswith(_SPREAD):
                    channel = attribute("channel_id", one.attributes)
                    found = (dataclasses.replace(array, overlaps=True, channel=channel) for array in found)
                total.collectives += tuple(found)
        self._known[name] = total
        return total

    def _add_called(self, total: Costs, one: Instruction) -> None:
        """Adds the costs of the computations that an instruction calls."""
        if one.op == "while":
            times = self._trip_count(one)
            inside = self._costs(one.called("body")[0])
            if times is None and not all(one.channel for one in inside.collectives):
                raise ValueError(f"{one.name}: a collective is in a loop without a known trip count")
            total.add(inside, times or 1)
            total.steps += times or 1
            total.unknown_loops += times is None
        elif one.op == "conditional":
            branches = one.called("branch_computations") or one.called("true_computation")
            branches += one.called("false_computation")
            costs = [self._costs(branch) for branch in branches]
            total.add(max(costs, key=lambda cost: (cost.flops, cost.traffic)))
        elif one.op == "fusion":
            inside = self._costs(one.called("calls")[0])
            total.add(dataclasses.replace(inside, traffic=0, copied=0))
        elif one.op in ("call", "async-start"):
            total.add(self._costs((one.called("calls") or one.called("to_apply"))[0]))

    def _trip_count(self, loop: Instruction) -> int | None:
        """Returns the iterations of a loop that counts from 0 to a constant, as `scan` and `map` do; else None."""
        if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes):
            return int(known.group(1))
        root = next(one for one in self.computations[loop.called("condition")[0]] if one.is_root)
        if root.op != "compare" or "direction=LT" not in root.attributes:
            return None
        limit = self.by_name[root.operands[1]]
        return int(limit.attributes.split(")")[0]) if limit.op == "constant" else None

    def _traffic(self, one: Instruction) -> float:
        """Bytes of the main memory that an instruction reads and writes."""
        operands = [self.by_name[name] for name in one.operands if name in self.by_name]
        read = [_far(operand.arrays) for operand in operands]
        written = _far(one.arrays)
        if one.op in ("copy-start", "slice-start"):  # the result: source and copy, in either order, and a context
            return min(array.size for array in one.arrays[:2]) * sum(not array.is_near for array in one.arrays[:2])
        if one.op == "fusion":
            name = one.called("calls")[0]
            body = self.computations[name]
            read = [min(size, self._read(body, number)) for number, size in enumerate(read)]
            written = self._written(body, one)
            if name.startswith(_SPREAD):
                # The arrays of the collective are handed on in place; `costs` counts them once.
                for number, operand in _aliases(one.attributes):
                    written -= _far(one.arrays[number : number + 1])
                    read[operand] = 0
        elif one.op in ("dynamic-slice", "slice", "gather"):
            read[0] = min(read[0], written)
        elif one.op in _UPDATES:
            written, read[0] = read[_UPDATES[one.op]], 0
        return sum(read) + written

    def _read(self, body: list[Instruction], number: int) -> float:
        """Bytes that a fused computation reads of an operand: of a slice only its own."""
        name = next(one.name for one in body if one.op == "parameter" and one.attributes.startswith(f"{number})"))
        return self._read_by_users(body, name)

    def _read_by_users(self, body: list[Instruction], name: str) -> float:
        total = 0.0
        for one in body:
            if name not in one.operands:
                continue
            if one.op == "bitcast":
                total += self._read_by_users(body, one.name)
            elif one.op in ("dynamic-slice", "slice", "gather") and one.operands[0] == name:
                total += sum(array.size for array in one.arrays)
            elif one.op == "fusion":
                inside = self.computations[one.called("calls")[0]]
                total += sum(self._read(inside, number) for number, user in enumerate(one.operands) if user == name)
            elif one.op not in _UPDATES or one.operands[0] != name:
                return math.inf
        return total

    def _written(self, body: list[Instruction], fusion: Instruction) -> float:
        """Bytes that a fusion writes: of an array that it updates in place only the update."""
        root = next(one for one in body if one.is_root)
        roots = [self.by_name[name] for name in root.operands] if root.op == "tuple" else [root]
        if len(roots) != len(fusion.arrays):
            return _far(fusion.arrays)
        total = 0.0
        for one, array in zip(roots, fusion.arrays, strict=True):
            while one.op == "bitcast":
                one = self.by_name[one.operands[0]]
            if one.op in _UPDATES and not array.is_near:
                total += sum(update.size for update in self.by_name[one.operands[_UPDATES[one.op]]].arrays)
            else:
                total += _far((array,))
        return total

    def _collectives(self, one: Instruction, later: list[Instruction]) -> Iterator[Collective]:
        """Yields the arrays of a collective; `later` are the instructions scheduled after it."""
        kind, is_async = one.op.removesuffix("-start"), one.op.endswith("-start")
        arrays = one.arrays
        if kind == "send":  # to other slices; the result: the array and contexts
            arrays = arrays[:1]
        if is_async and kind != "all-reduce":  # the result: operands, results and contexts
            arrays = arrays[len(one.operands) : 2 * len(one.operands)]
        source = re.search(r'op_name="([^"]*)"', one.attributes)
        overlaps = is_async and _is_used_late(one.name, later)
        for array in arrays:
            yield Collective(kind, array.dims, array.size, 1, overlaps, source.group(1) if source else "")


def _is_used_late(name: str, later: list[Instruction]) -> bool:
    """Whether something is computed before an asynchronous operation is done."""
    for one in later:
        if name in one.operands:
            return False
        if one.op in ("fusion", "convolution", "dot", "while", "custom-call"):
            return True
    return False


def _aliases(attributes: str) -> list[tuple[int, int]]:
    """Returns (output, operand) of the outputs of a fusion that it makes in place of an operand."""
    found = re.search(r"output_to_operand_aliasing=\{(.*?)\}, calls", attributes)
    pairs = re.findall(r"\{(\d+)\}: \((\d+), \{\}\)", found[1] if found else "")
    return [(int(output), int(operand)) for output, operand in pairs]


def _passes(one: Instruction) -> int:
    """Returns how often a TPU multiplies for a product of this precision."""
    found = re.search(r"operand_precision=\{(\w+)", one.attributes)
    return _PASSES.get(found.group(1), 1) if found else 1


def _far(arrays: tuple[Array, ...]) -> float:
    """Bytes of the arrays in the main memory."""
    return sum(array.size for array in arrays if not array.is_near)
