"""The optimised HLO of a compiled program: its computations, their instructions, and the FLOP of products."""

import dataclasses
import itertools
import math
import re

_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "token": 0, "opaque": 0}
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](?:\{[^{}]*\})?")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")


@dataclasses.dataclass(frozen=True)
class Array:
    """An array of an instruction's result.

    Attributes:
        size: Bytes.
        dims: Shape.
        is_near: Whether the compiler placed it in the on-chip memory of a TPU.
    """

    size: float
    dims: tuple[int, ...]
    is_near: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction: its name, result, opcode, names of its operands, attributes, and whether it is the root."""

    name: str
    arrays: tuple[Array, ...]
    op: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    def called(self, key: str) -> list[str]:
        """Returns the computations of an attribute: `calls=%a` or `branch_computations={%a, %b}`."""
        found = re.search(rf"\b{key}=(?:\{{([^}}]*)\}}|(%[\w.\-]+))", self.attributes)
        return re.findall(r"%([\w.\-]+)", found.group(1) or found.group(2)) if found else []


class Module:
    """The computations of a compiled program.

    Args:
        text: The optimised HLO, `jitted.lower(…).compile().as_text()`.

    Raises:
        ValueError: The text has no entry.
    """

    def __init__(self, text: str) -> None:
        self.computations: dict[str, list[Instruction]] = {}
        self.entry, body = "", []
        for line in text.splitlines():
            if line.endswith("{") and (header := re.match(r"^(ENTRY )?%?([\w.\-]+) \(", line)):
                body = self.computations[header.group(2)] = []
                self.entry = header.group(2) if header.group(1) else self.entry
            elif found := _INSTRUCTION.match(line):
                body.append(_instruction(*found.groups()))
        if not self.entry:
            raise ValueError("the text has no ENTRY; pass the optimised HLO of a compiled program")
        self.by_name = {one.name: one for body in self.computations.values() for one in body}


def product_flops(one: Instruction, left: tuple[int, ...], right: tuple[int, ...]) -> float:
    """Returns the FLOP of a matrix product or a convolution of arrays of two shapes."""
    output = math.prod(one.arrays[0].dims)
    if one.op == "dot":
        return 2 * output * math.prod(left[axis] for axis in _numbers("lhs_contracting_dims", one.attributes))
    lhs, rhs, out = re.split("_|->", attribute("dim_labels", one.attributes))
    taps = 1.0
    for axis in sorted(set(rhs) - {"i", "o"}):
        sizes = (left[lhs.index(axis)], right[rhs.index(axis)], one.arrays[0].dims[out.index(axis)])
        # Of all pairs of an output and a kernel position, those that meet an element of the input.
        taps *= _taps(_window(one.attributes, int(axis)), *sizes) / sizes[2]
    return 2 * output * right[rhs.index("i")] * taps


def _instruction(root: str | None, name: str, shape: str, op: str, rest: str) -> Instruction:
    depths = itertools.accumulate(({"(": 1, ")": -1}.get(character, 0) for character in rest), initial=1)
    end = next(place for place, depth in enumerate(depths) if depth == 0) - 1
    operands = tuple(re.findall(r"%([\w.\-]+)", rest[:end]))
    attributes = rest if op in ("parameter", "constant") else rest[end + 1 :]
    arrays = tuple(_array(match) for match in _ARRAY.finditer(shape))
    return Instruction(name, arrays, op, operands, attributes, bool(root))


def _array(match: re.Match[str]) -> Array:
    kind, shape = match.group(1), match.group(2)
    dims = tuple(int(size) for size in shape.split(",") if size)
    bits = re.search(r"\d+", kind)
    width = _BYTES.get(kind, int(bits.group()) / 8 if bits else 4)
    return Array(width * math.prod(dims), dims, "S(1)" in match.group())


def attribute(key: str, attributes: str) -> str:
    """Returns the value of an attribute that is one word; '' if it is missing."""
    found = re.search(rf"\b{key}=(\S+?)(?:,|$|\s|\}})", attributes)
    return found.group(1) if found else ""


def _numbers(key: str, attributes: str) -> list[int]:
    found = re.search(rf"\b{key}=\{{([\d,]*)\}}", attributes)
    return [int(number) for number in found.group(1).split(",") if number] if found else []


def _window(attributes: str, axis: int) -> tuple[int, int, int, int]:
    """Returns stride, padding before, dilation of the input and of the kernel, of an axis of `window={…}`."""
    window = re.search(r"\bwindow=\{([^}]*)\}", attributes)
    fields = dict(item.split("=") for item in window.group(1).split()) if window else {}

    def of(key: str, default: str) -> str:
        return fields[key].split("x")[axis] if key in fields else default

    return (
        int(of("stride", "1")),
        int(of("pad", "0_0").split("_")[0]),
        int(of("lhs_dilate", "1")),
        int(of("rhs_dilate", "1")),
    )


def _taps(window: tuple[int, int, int, int], size: int, kernel: int, outputs: int) -> int:
    """Counts the pairs of an output and a kernel position on an axis that meet an element of the input."""
    stride, before, dilation, kernel_dilation = window
    places = (output * stride + tap * kernel_dilation - before for output in range(outputs) for tap in range(kernel))
    return sum(place % dilation == 0 and 0 <= place // dilation < size for place in places)
