"""The devices of a program as a mesh with the axes 'data' and 'fsdp', and the shardings over it.

Batches are sharded over both axes. Parameters and the optimizer state are sharded over 'fsdp' ("fully sharded data
parallel") and replicated over 'data'; with `fsdp=1` they are replicated over all devices.

TPU slices that are connected by a data-center network need no axis of their own: the compiler splits a reduction over
all devices into a reduce-scatter within each slice, an all-reduce between slices, and an all-gather within each slice.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from adamine_jax.base.errors import UserError

SMALLEST_SHARDED = 2**14
"""Smallest number of values of an array that is sharded over 'fsdp'."""


def make_mesh(devices: Sequence[jax.Device] | None = None, fsdp: int = 1) -> Mesh:
    """Returns a mesh over the given devices, by default all devices of all processes.

    The devices of a process are contiguous, which `local_rows` relies on; `jax.make_mesh` may order those of a pod
    differently.

    Args:
        devices: Devices.
        fsdp: Number of devices that share one copy of the state.

    Raises:
        UserError: `fsdp` does not divide the number of devices of a slice.
    """
    devices = sorted(jax.devices() if devices is None else devices, key=mesh_order)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if (size := len(devices) // slices) % fsdp:
        divisors = [str(count) for count in range(1, size + 1) if size % count == 0]
        raise UserError(
            f"config.mesh.fsdp = {fsdp}: does not divide the number of devices{' of a slice' if slices > 1 else ''}, "
            f"{size}; use {', '.join(divisors)}"
        )
    return Mesh(np.array(devices).reshape(-1, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array of which each device has a copy."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its rows, over all devices."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def state_shardings(tree: Any, mesh: Mesh) -> Any:
    """Returns the sharding of each array of a state: the longest axis that can be, over 'fsdp'.

    Args:
        tree: Parameters or an optimizer state: arrays or `jax.ShapeDtypeStruct`.
        mesh: A mesh of `make_mesh`.
    """
    count = mesh.shape.get("fsdp", 1)

    def sharding(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size % count == 0]
        if count == 1 or leaf.size < SMALLEST_SHARDED or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "fsdp"))

    return jax.tree.map(sharding, tree)


def mesh_order(device: jax.Device) -> tuple[int, int]:
    """Sort key of the devices of a mesh."""
    return device.process_index, device.id


def check_batch_size(batch_size: int, mesh: Mesh, parts: int = 1) -> None:
    """Checks that a global batch can be split evenly over the devices, and each device's rows into parts.

    Raises:
        UserError: It cannot; the message names the nearest batch sizes that can.
    """
    if remainder := batch_size % (mesh.size * parts):
        below, above = batch_size - remainder, batch_size - remainder + mesh.size * parts
        nearest = f"{below} or {above}" if below else f"{above}"
        times = f" times config.accumulate = {parts}" if parts > 1 else ""
        raise UserError(
            f"config.batch_size = {batch_size}: not divisible by the {mesh.size} devices{times}; use {nearest}"
        )


def round_up(batch_size: int, mesh: Mesh) -> int:
    """Returns the smallest multiple of the number of devices that is at least `batch_size`."""
    return -(-batch_size // mesh.size) * mesh.size


def local_rows(batch_size: int) -> slice:
    """Returns this process's rows of a global batch."""
    rows = batch_size // jax.process_count()
    return slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
