"""The devices of a program as a mesh with the single axis 'data'."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from adamine_jax.base.errors import UserError


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh over the given devices, by default all devices of all processes.

    The devices of a process are contiguous, which `local_rows` relies on; `jax.make_mesh` may order those of a pod
    differently.
    """
    devices = sorted(jax.devices() if devices is None else devices, key=mesh_order)
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def mesh_order(device: jax.Device) -> tuple[int, int]:
    """Sort key of the devices of a mesh."""
    return device.process_index, device.id


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Checks that a global batch can be split evenly over the devices.

    Raises:
        UserError: It cannot; the message names the nearest batch sizes that can.
    """
    if remainder := batch_size % mesh.size:
        below, above = batch_size - remainder, batch_size - remainder + mesh.size
        nearest = f"{below} or {above}" if below else f"{above}"
        raise UserError(f"config.batch_size = {batch_size}: not divisible by the {mesh.size} devices; use {nearest}")


def round_up(batch_size: int, mesh: Mesh) -> int:
    """Returns the smallest multiple of the number of devices that is at least `batch_size`."""
    return -(-batch_size // mesh.size) * mesh.size


def local_rows(batch_size: int) -> slice:
    """Returns this process's rows of a global batch."""
    rows = batch_size // jax.process_count()
    return slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
