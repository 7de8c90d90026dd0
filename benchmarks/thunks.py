"""Measures the time of each kind of operation in the training of a ResNet on XLA's CPU backend.

`benchmarks.towers` runs this in a separate process, because operations report their time only if `FLAG` is set before
JAX starts.
"""

import collections
import functools
import os
import re
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.models.image.resnet import LAYOUTS, ResNet

FLAG = "--xla_cpu_enable_xprof_traceme=true"

KERNEL_GRADIENTS, STEM = "kernel gradients of the 3×3 convolutions", "kernel gradient of the 7×7 stem"
INPUT_GRADIENTS, FORWARD = "input gradients of the 3×3 convolutions", "7×7 and 3×3 convolutions, forward"
PRODUCTS, PRODUCT_GRADIENTS = "1×1 convolutions, forward", "1×1 convolutions, gradients"
COPIES, OTHER = "transposed copies", "other: BatchNorm, ReLU, sums, pooling"
KINDS = (KERNEL_GRADIENTS, STEM, INPUT_GRADIENTS, FORWARD, PRODUCTS, PRODUCT_GRADIENTS, COPIES, OTHER)


def kinds(hlo: str) -> dict[str, str]:
    """Returns the kind of each instruction in the entry computation of a compiled module, by name."""
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
            # The gradient of a kernel convolves two feature maps: its window is larger than its output.
            if window > outputs:
                return STEM if outputs == 7 else KERNEL_GRADIENTS
            return INPUT_GRADIENTS if is_gradient else FORWARD
        if " dot(" in line:
            return PRODUCT_GRADIENTS if is_gradient else PRODUCTS
    return COPIES if instruction.startswith(("transpose", "copy")) else OTHER


def measure(depth: int, size: int, batch: int) -> tuple[float, dict[str, float]]:
    """Returns the seconds of a forward and backward pass of a ResNet, and those of each kind of operation.

    Operations that run in parallel are all counted, so the sum over the kinds may exceed the total.
    """
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
            total = time.perf_counter() - start
        (file,) = Path(folder).rglob("*.xplane.pb")
        profile = jax.profiler.ProfileData.from_file(str(file))
    seconds = collections.Counter(dict.fromkeys(KINDS, 0.0))
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                if event.name in kind_of:
                    seconds[kind_of[event.name]] += event.duration_ns / 1e9
    return total, dict(seconds)


def convolution_flops(depth: int, size: int, batch: int) -> dict[str, float]:
    """Returns the FLOP of the convolutions larger than 1×1; a gradient takes as many as the forward pass."""
    side = -(-size // 2)
    stem = 2 * batch * side**2 * 64 * 7 * 7 * 3
    others, side = 0, -(-side // 2)
    for stage, blocks in enumerate(LAYOUTS[depth].blocks):
        side = -(-side // 2) if stage else side
        others += blocks * 2 * batch * side**2 * (64 * 2**stage) ** 2 * 9
    return {STEM: stem, KERNEL_GRADIENTS: others, INPUT_GRADIENTS: others, FORWARD: stem + others}


def page(depth: int, size: int, batch: int) -> list[str]:
    """Returns a section of a results page.

    Raises:
        ValueError: The environment does not set `FLAG`.
    """
    if FLAG not in os.environ.get("XLA_FLAGS", ""):
        raise ValueError(f"set XLA_FLAGS={FLAG} before JAX starts")
    total, seconds = measure(depth, size, batch)
    flops = convolution_flops(depth, size, batch)
    rates = {kind: flops[kind] / seconds[kind] / 1e9 for kind in flops if seconds[kind]}
    relative = {kind: rate / rates[FORWARD] for kind, rate in rates.items()}
    shares = {kind: value / sum(seconds.values()) for kind, value in seconds.items()}
    return [
        f"Forward and backward pass of the ResNet-{depth} alone at {size} px, batch {batch}: {total:.2f} s with "
        "profiling. Operations that run in parallel are all counted, so the sum may be larger.",
        "",
        "| operations | s | GFLOP/s |",
        "|---|---:|---:|",
        *(
            f"| {kind} | {seconds[kind]:.2f} | {f'{rates[kind]:,.0f}' if kind in rates else ''} |"
            for kind in sorted(KINDS, key=seconds.get, reverse=True)
        ),
        "",
        "A convolution and its two gradients need the same number of operations. Relative to the rate of the forward "
        f"pass, the kernel gradients of the 3×3 convolutions run at {relative[KERNEL_GRADIENTS]:.2f}, their input "
        f"gradients at {relative[INPUT_GRADIENTS]:.2f}, and the kernel gradient of the stem at {relative[STEM]:.2f}. "
        f"BatchNorm, ReLU and pooling, which compute very little, take {shares[OTHER]:.0%} of the sum, and transposed "
        f"copies {shares[COPIES]:.0%}.",
        "",
    ]
