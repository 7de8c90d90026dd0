"""The devices that a program runs on, as a mesh with the one axis 'data'."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from adamine_jax.base.errors import UserError


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over the devices given, or over all there are, of all processes.

    Those of a process follow each other, as `local_rows` has it; `jax.make_mesh` may order a pod's otherwise.
    """
    devices = jax.devices() if devices is None else devices
    devices = sorted(devices, key=mesh_order)
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def mesh_order(device: jax.Device) -> tuple[int, int]:
    """What the devices of a mesh are sorted by."""
    return device.process_index, device.id


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Makes sure that a global batch can be split evenly.

    Raises:
        UserError: it cannot; the line names the nearest batch sizes that can.
    """
    if remainder := batch_size % mesh.size:
        below, above = batch_size - remainder, batch_size - remainder + mesh.size
        nearest = f"{below} or {above}" if below else f"{above}"
        raise UserError(f"config.batch_size = {batch_size}: not divisible by the {mesh.size} devices; take {nearest}")


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The smallest batch size from `batch_size` on that can be split evenly."""
    return -(-batch_size // mesh.size) * mesh.size


def local_rows(batch_size: int) -> slice:
    """This process's rows of a global batch."""
    rows = batch_size // jax.process_count()
    return slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
