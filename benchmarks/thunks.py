"""Where XLA's CPU backend spends the time of a ResNet's training: the seconds of each kind of operation.

Run by `benchmarks.towers` in a process of its own, since the flag that makes operations report themselves has to be
set before JAX starts.
"""

import collections
import functools
import os
import re
import tempfile
import time
from pathlib import Path

FLAG = "--xla_cpu_enable_xprof_traceme=true"

KERNEL_GRADIENTS, STEM = "kernel gradients of the 3×3 convolutions", "kernel gradient of the 7×7 stem"
INPUT_GRADIENTS, FORWARD = "input gradients of the 3×3 convolutions", "7×7 and 3×3 convolutions, forward"
PRODUCTS, PRODUCT_GRADIENTS = "1×1 convolutions, forward", "1×1 convolutions, gradients"
COPIES, REST = "transposed copies", "the rest: BatchNorm, ReLU, sums, pooling"
KINDS = (KERNEL_GRADIENTS, STEM, INPUT_GRADIENTS, FORWARD, PRODUCTS, PRODUCT_GRADIENTS, COPIES, REST)


def kinds(hlo: str) -> dict[str, str]:
    """The kind of each instruction of a compiled module's entry, by its name."""
    computations, name = {}, None
    for line in hlo.splitlines():
        if header := re.match(r"(ENTRY )?%?([\w.-]+) .*{$", line):
            name = "ENTRY" if header[1] else header[2]
            computations[name] = []
        elif name and " = " in line:
            computations[name].append(line)
    found = {}
    for line in computations["ENTRY"]:
        instruction = re.match(r"\s+(?:ROOT )?%?([\w.-]+) = ", line)[1]
        called = re.search(r"calls=%?([\w.-]+)", line)
        found[instruction] = _kind(instruction, [line, *(computations[called[1]] if called else [])])
    return found


def _kind(instruction: str, lines: list[str]) -> str:
    for line in lines:
        is_gradient = "transpose(jvp" in line
        if convolution := re.search(r"\[(\d+),(\d+),\d+,\d+\]\S* convolution\(.*size=(\d+)x", line):
            _, outputs, window = map(int, convolution.groups())
            # A kernel's gradient slides one map over the other: the window is larger than what comes out.
            if window > outputs:
                return STEM if outputs == 7 else KERNEL_GRADIENTS
            return INPUT_GRADIENTS if is_gradient else FORWARD
        if " dot(" in line:
            return PRODUCT_GRADIENTS if is_gradient else PRODUCTS
    return COPIES if instruction.startswith(("transpose", "copy")) else REST


def measure(depth: int, size: int, batch: int) -> tuple[float, dict[str, float]]:
    """Seconds of forward and backward pass of a ResNet, and seconds of each kind.

    Operations that run side by side both count, so the kinds' sum may be more than the whole.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from adamine_jax.models.image.resnet import ResNet

    model = ResNet(depth)
    photos = jnp.asarray(np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype(np.float32))
    variables = jax.jit(functools.partial(model.init, use_running_average=True))(jax.random.key(0), photos)

    def loss(params):
        features, updated = model.apply(
            {**variables, "params": params}, photos, use_running_average=False, mutable="batch_stats"
        )
        return jnp.sum(jnp.sin(features)), updated

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(variables["params"]).compile()
    kind_of = kinds(compiled.as_text())
    jax.block_until_ready(compiled(variables["params"]))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            jax.block_until_ready(compiled(variables["params"]))
            whole = time.perf_counter() - start
        (file,) = Path(folder).rglob("*.xplane.pb")
        profile = jax.profiler.ProfileData.from_file(str(file))
    seconds = collections.Counter(dict.fromkeys(KINDS, 0.0))
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                if event.name in kind_of:
                    seconds[kind_of[event.name]] += event.duration_ns / 1e9
    return whole, dict(seconds)


def convolution_flops(depth: int, size: int, batch: int) -> dict[str, float]:
    """Multiplications and additions of the convolutions larger than 1×1, forward; each gradient takes as many."""
    from adamine_jax.models.image.resnet import LAYOUTS

    side = -(-size // 2)
    stem = 2 * batch * side**2 * 64 * 7 * 7 * 3
    others, side = 0, -(-side // 2)
    for stage, blocks in enumerate(LAYOUTS[depth].blocks):
        side = -(-side // 2) if stage else side
        others += blocks * 2 * batch * side**2 * (64 * 2**stage) ** 2 * 9
    return {STEM: stem, KERNEL_GRADIENTS: others, INPUT_GRADIENTS: others, FORWARD: stem + others}


def page(depth: int, size: int, batch: int) -> list[str]:
    """A section of a results page."""
    if FLAG not in os.environ.get("XLA_FLAGS", ""):
        raise ValueError(f"set XLA_FLAGS={FLAG} before JAX starts")
    whole, seconds = measure(depth, size, batch)
    flops = convolution_flops(depth, size, batch)
    lines = [
        f"Forward and backward pass of the ResNet-{depth} alone at {size} px, batch {batch}: {whole:.2f} s, the "
        "operations reporting themselves. Those that run side by side both count, so that the sum may be more.",
        "",
        "| operations | s | GFLOP/s |",
        "|---|---:|---:|",
    ]
    for kind in sorted(KINDS, key=seconds.get, reverse=True):
        rate = f"{flops[kind] / seconds[kind] / 1e9:,.0f}" if kind in flops and seconds[kind] else ""
        lines.append(f"| {kind} | {seconds[kind]:.2f} | {rate} |")
    shares = {kind: value / sum(seconds.values()) for kind, value in seconds.items()}
    of_forward = {kind: flops[kind] / seconds[kind] / (flops[FORWARD] / seconds[FORWARD]) for kind in flops}
    return [
        *lines,
        "",
        "The same convolutions take the same arithmetic in each direction, but the 3×3 ones' kernel gradients run at "
        f"{of_forward[KERNEL_GRADIENTS]:.2f} of the forward pass's rate, their input gradients at "
        f"{of_forward[INPUT_GRADIENTS]:.2f}, and the stem's kernel gradient at {of_forward[STEM]:.2f}. BatchNorm, ReLU "
        f"and pooling, whose arithmetic is next to nothing, take {shares[REST]:.0%} of the sum, "
        f"transposed copies {shares[COPIES]:.0%}.",
        "",
    ]
