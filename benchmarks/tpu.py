"""Compiles the steps for TPU topologies, without a TPU, and tabulates their memory, work and communication.

    pip install -e '.[aot]'
    python -m benchmarks.tpu

Nothing is run: the numbers are those of the compiled programs (`benchmarks.hlo_costs`), and the times are lower bounds,
from the published rates of the chips. Compiling takes minutes of CPU and up to 12 GB for each program; results are kept
in `--cache`, so that an interrupted command resumes.
"""

import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.files import atomic_write
from adamine_jax.models.recipe.groups import ACCELERATOR
from benchmarks import scaling, tpu_programs
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.hlo_costs import CompiledProgram
from benchmarks.tpu_programs import Program
from benchmarks.workload import recipes, text_flops


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published rates of a chip.

    Attributes:
        flops: FLOP/s in bfloat16.
        memory: GiB.
        bandwidth: Bytes/s of the memory.
        links: Bytes/s that the chip sends over its interconnect, all links together.
    """

    flops: float
    memory: int
    bandwidth: float
    links: float


CHIPS = {
    "v5e": Chip(197e12, 16, 819e9, 200e9),
    "v5p": Chip(459e12, 95, 2765e9, 600e9),
    "v6e": Chip(918e12, 32, 1640e9, 448e9),
}
ADAMINE = ("v5e:2x2", "v5e:2x4", "v5e:8x8", "v5e:16x16", "v5p:2x2x1", "v5p:4x4x4")
OTHERS = ("clip_vitb16", "ht_resnet50", "siglip2_base", "dinov2_minilm")
PROGRAMS = (
    *(Program("train", "adamine", topology, 64) for topology in ADAMINE),
    Program("frozen", "adamine", "v5e:2x4", 64),
    Program("evaluate", "adamine", "v5e:2x4", 64),
    # The compiler of libtpu 0.0.42.1 overflows its stack on the step of v6e in which the ResNet is trained.
    *(Program("frozen", "adamine", topology, 64) for topology in ("v6e:2x4", "v6e:16x16")),
    Program("train", "clip_vitb16", "v6e:2x4", 128),
    *(Program("loss", name, "v5e:8x8", 1024) for name in ("adamine", "infonce", "siglip")),
    *(Program("train", name, "v5e:2x4", 128) for name in OTHERS),
    *(Program("train", name, "v5e:16x16", 128) for name in OTHERS[:2]),
    Program("train", tpu_programs.LARGE, "v5e:2x4", 256, fsdp=8, parts=8),
    Program("train", "clip_vitb16", "v5e:2x4", 512, parts=16),
    Program("plain ViT", "", "v5e:2x4", 128),
    Program("our ViT", "", "v5e:2x4", 128),
    Program("plain ResNet", "", "v5e:2x4", 100),
    Program("our ResNet", "", "v5e:2x4", 100),
)

Row = dict[str, Any]


@one_line_errors
def main() -> None:
    """Compiles the programs that are not in the cache, and writes the page."""
    parser = results_parser("tpu", __doc__)
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/tpu.json"), help="compiled results; default: %(default)s"
    )
    parser.add_argument("--only", default="", help="regular expression: compile these programs only")
    parser.add_argument("--against", type=Path, help="the --cache of another version, for a comparison")
    flags = parser.parse_args()
    tpu_programs.describe_tpus()
    cache: dict[str, Row] = json.loads(flags.cache.read_text()) if flags.cache.exists() else {}
    for program in PROGRAMS:
        if program.name not in cache and re.search(flags.only, program.name):
            cache[program.name] = measured(program)
            flags.cache.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(flags.cache) as path:
                path.write_text(json.dumps(cache, indent=1))
            print(table([(program, cache[program.name])])[-1], flush=True)
    rows = [(program, cache[program.name]) for program in PROGRAMS if program.name in cache]
    others = json.loads(flags.against.read_text()) if flags.against else {}
    write_page(flags.page, page(rows, others))


def measured(program: Program) -> Row:
    """Compiles a program; returns its numbers, of one chip."""
    start = time.time()
    compiled = program.lower().compile()
    seconds, memory, text = time.time() - start, compiled.memory_analysis(), compiled.as_text()
    costs, counted = CompiledProgram(text).costs(), compiled.cost_analysis()
    kinds = {
        kind: {
            "count": sum(one.times for one in costs.collectives if one.kind == kind),
            "bytes": costs.sent(kind),
            "overlapping": sum(one.bytes * one.times for one in costs.collectives if one.kind == kind and one.overlaps),
        }
        for kind in sorted({one.kind for one in costs.collectives})
    }
    return {
        "seconds": seconds,
        "peak": memory.peak_memory_in_bytes,
        "state": memory.argument_size_in_bytes,
        "flops": costs.flops,
        "passes": costs.passes,
        "traffic": costs.traffic,
        "copied": costs.copied,
        "steps": costs.steps,
        "unknown_loops": costs.unknown_loops,
        "collectives": kinds,
        "xla_flops": counted["flops"],
        "xla_bytes": counted["bytes accessed"],
    }


def page(rows: list[tuple[Program, Row]], others: dict[str, Row]) -> list[str]:
    """Returns the lines of the page."""
    lines = ["# Programs compiled for TPUs", "", f"`python -m benchmarks.tpu`. {describe_machine()}", ""]
    lines += ["Nothing was run. All numbers are of one chip, in bfloat16 arithmetic:", ""]
    lines += ["* **memory**: the peak; **fits**: rows of a chip that would fit, extrapolated from it linearly."]
    lines += ["* **TFLOP**: matrix products and convolutions; float32 products count six times, for their passes."]
    lines += [
        "* **traffic**: bytes that instructions read from and write to the main memory; **copies** thereof. Of a loop"
    ]
    lines += ["  of dynamic length, those of the LSTMs, one step counts."]
    lines += ["* **loop steps**: sequential iterations; those of the LSTMs and their products at Recipe1M's lengths."]
    lines += ["* **bounds**: time of the products at the peak rate, of the traffic, and of the collectives, which send"]
    lines += ["  (N - 1)/N of the gathered and twice that of the reduced bytes at the bandwidth of all links."]
    lines += ["", *table(rows), ""]
    lines += [
        "The compiler of libtpu 0.0.42.1 overflows its stack on the step of `adamine` for v6e in which the ResNet is"
    ]
    lines += ["trained, with 32 rows as with 64. The ResNet alone, the frozen step and the evaluation compile for v6e."]
    lines += ["", "## Collectives", "", *collectives(rows)]
    lines += ["", "## Formulas", "", *formulas(rows)]
    lines += [
        "",
        "## XLA's own count",
        "",
        "Bodies of loops count once, accesses to the on-chip memory count, too.",
        "",
    ]
    lines += [*xla_table(rows)]
    if others:
        lines += ["", "## Compared with another version", "", *comparison(rows, others)]
    return lines


def table(rows: list[tuple[Program, Row]]) -> list[str]:
    """Returns the table of memory, work and time."""
    columns = ["memory, GiB", "fits", "TFLOP", "traffic, GB", "copies, GB", "loop steps", "products, ms", "memory, ms"]
    columns += ["links, ms", "compiled in, s"]
    lines = ["| program | topology | rows | " + " | ".join(columns) + " |", "|---|---|---:|" + "---:|" * len(columns)]
    for program, row in rows:
        chip, size = CHIPS[program.topology.split(":")[0]], chips(program)
        steps, flops = text_work(program)
        lines.append(
            f"| {title(program)} | {program.topology} | {program.rows} | {row['peak'] / 2**30:.2f} of {chip.memory} "
            f"| {fitting(program, row, chip)} | {(row['passes'] + flops) / 1e12:.2f} | {row['traffic'] / 1e9:.1f} "
            f"| {row['copied'] / 1e9:.1f} | {row['steps'] + steps} | {1e3 * (row['passes'] + flops) / chip.flops:.1f} "
            f"| {1e3 * row['traffic'] / chip.bandwidth:.1f} | {1e3 * sent(row, size) / chip.links:.1f} "
            f"| {row['seconds']:.0f} |"
        )
    return lines


def title(program: Program) -> str:
    """Returns a program's name in the tables."""
    more = f", fsdp {program.fsdp}" if program.fsdp > 1 else ""
    more += f", {program.parts} parts" if program.parts > 1 else ""
    return f"{program.preset}, {program.kind}{more}" if program.preset else program.kind


def chips(program: Program) -> int:
    """Returns the number of chips of a program's topology."""
    return int(np.prod([int(side) for side in program.topology.split(":")[1].split("x")]))


def fitting(program: Program, row: Row, chip: Chip) -> str:
    """Estimates how many rows a chip can hold; memory beyond parameters and gradients grows with the rows."""
    fixed = row["state"] * (
        1.25 if program.kind in ("train", "frozen") else 1
    )  # 12 bytes a parameter, and its gradient
    room = 0.95 * chip.memory * 2**30 - fixed
    return f"{int(room / max(row['peak'] - fixed, 1) * program.rows):,}" if program.kind != "loss" else ""


def text_work(program: Program) -> tuple[int, float]:
    """Returns the sequential steps and the FLOP of the LSTMs for one chip's rows at Recipe1M's lengths.

    Their loops have dynamic lengths, so that the compiled program does not say how often they run.
    """
    if program.preset != "adamine" or program.kind == "loss":
        return 0, 0.0
    batch = recipes(program.rows)
    config = tpu_programs.config_of(program.preset, program.rows).model
    words, ingredients = (np.count_nonzero(batch[field], axis=-1) for field in ("words", "ingredients"))
    steps = sum(
        int(np.sort(lengths.ravel())[::-1][:: ACCELERATOR.plan(lengths.size, 1).size].sum())
        for lengths in (words, batch["num_sentences"], ingredients, ingredients)
    )
    backward = program.kind != "evaluate"
    return steps * (1 + backward), text_flops(config, batch) / (1 if backward else 3)


def sent(row: Row, size: int) -> float:
    """Returns the bytes that a chip sends in rings of `size` chips."""
    weights = {"all-reduce": 2.0, "collective-permute": size / (size - 1)}
    return sum(weights.get(kind, 1) * of["bytes"] for kind, of in row["collectives"].items()) * (size - 1) / size


def collectives(rows: list[tuple[Program, Row]]) -> list[str]:
    """Returns the table of collectives."""
    lines = [
        "| program | topology | kind | number | MB | of which during a computation |",
        "|---|---|---|---:|---:|---:|",
    ]
    for program, row in rows:
        for kind, of in row["collectives"].items():
            lines.append(
                f"| {title(program)} | {program.topology} | {kind} | {of['count']:.0f} | {of['bytes'] / 1e6:,.1f} "
                f"| {of['overlapping'] / max(of['bytes'], 1):.0%} |"
            )
    return lines


def formulas(rows: list[tuple[Program, Row]]) -> list[str]:
    """Returns the table of the communication by the formulas of docs/scaling.md, beside that of the programs."""
    lines = [
        "Communication by the formulas of [docs/scaling.md](../../docs/scaling.md): the gathered bytes and twice the "
        "reduced ones. The gradients of the ResNet, computed in bfloat16, are reduced in bfloat16.",
        "",
        "| program | topology | formula, MB | program, MB | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    params, channels, _ = scaling.paper_model()
    for program, row in rows:
        if program.preset != "adamine" or program.kind not in ("train", "loss"):
            continue
        batch, dim, size = program.rows * chips(program), scaling.DIM, chips(program)
        reduced = scaling.reduced_bytes(batch, dim, 0, 0)
        if program.kind == "train":
            reduced += 4 * (params["new"] + 3 * channels) + 2 * params["backbone"]
        expected = scaling.gathered_bytes(batch, dim) + 2 * reduced
        found = sent(row, size) * size / (size - 1)
        lines.append(
            f"| {title(program)} | {program.topology} | {expected / 1e6:,.0f} | {found / 1e6:,.0f} "
            f"| {found / expected:.2f} |"
        )
    return lines


def xla_table(rows: list[tuple[Program, Row]]) -> list[str]:
    """Returns the table of `cost_analysis`."""
    lines = ["| program | topology | TFLOP | bytes accessed, GB |", "|---|---|---:|---:|"]
    for program, row in rows:
        numbers = f"{row['xla_flops'] / 1e12:.2f} | {row['xla_bytes'] / 1e9:.1f}"
        lines.append(f"| {title(program)} | {program.topology} | {numbers} |")
    return lines


def comparison(rows: list[tuple[Program, Row]], others: dict[str, Row]) -> list[str]:
    """Returns the table of this version beside another."""
    fields = {
        "peak": "memory",
        "traffic": "traffic",
        "copied": "copies",
        "xla_bytes": "XLA's bytes",
        "xla_flops": "FLOP",
    }
    lines = ["| program | topology | " + " | ".join(fields.values()) + " |", "|---|---|" + "---:|" * len(fields)]
    for program, row in rows:
        if other := others.get(program.name):
            ratios = " | ".join(f"{row[field] / max(other[field], 1):.2f}" for field in fields)
            lines.append(f"| {title(program)} | {program.topology} | {ratios} |")
    return [*lines, "", "Each number is that of this version divided by that of the other."]


if __name__ == "__main__":
    main()
