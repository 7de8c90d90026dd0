"""Times a training step of the paper's model with a frozen backbone, with and without cached image features.

    python -m benchmarks.frozen

Figures are medians of several steps on a batch in memory.
"""

import sys

from benchmarks.harness import describe_machine, processes_in_turns, results_parser, write_page
from benchmarks.tower_runs import MATMUL, ON_GPU
from benchmarks.workload import recipes, text_flops
from configs import adamine


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("frozen", __doc__)
    parser.add_argument("--batch", type=int, default=100, help="pairs per batch; default: 100")
    parser.add_argument("--repeats", type=int, default=5, help="measured steps; default: 5")
    flags = parser.parse_args()
    rows = []
    for instructions, goal in (("words", 4), ("vectors", 20)):
        command = [sys.executable, "-m", "benchmarks.tower_runs", f"--batch={flags.batch}"]
        runs = (f"{instructions}_computed", f"{instructions}_cached", "product")
        seconds = processes_in_turns({run: [*command, f"--run={run}"] for run in runs}, flags.repeats)
        computed, cached, product = (seconds[run] for run in runs)
        config = adamine.get_config().model
        config.recipe.instructions = instructions
        products = text_flops(config, recipes(flags.batch)) * product / (2 * MATMUL**3)
        rows.append(
            f"| {instructions} | {goal} | {flags.batch / computed:.1f} | {flags.batch / cached:.1f} "
            f"| {computed / cached:.1f} | {cached:.2f} | {products:.2f} |"
        )
    lines = [
        "# The frozen phase with and without cached features",
        "",
        f"`python -m benchmarks.frozen`: ResNet-101 at 224 px, batch {flags.batch}, "
        f"{'bfloat16' if ON_GPU else 'float32'}; medians of {flags.repeats} steps. {describe_machine()}",
        "",
        "| instructions | goal | pairs/s, features computed | pairs/s, features cached | ratio | cached step, s "
        "| its matrix products alone, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "Only the steps are timed; with cached features, no photos need to be decoded either. The matrix products of a "
        "step are those of its real words, sentences and ingredients without padding, at the rate of a product of "
        f"{MATMUL} × {MATMUL} matrices in the same run.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
