"""Learning rates of single parameters: factors by pattern, layer-wise decay, and epochs from which they are trained."""

import fnmatch
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.models.adamine import AdaMine

Tree = Any


class Rate(NamedTuple):
    """How a parameter is trained.

    Attributes:
        factor: Factor of the learning rate; an array for parameters that are stacked over layers. 0 = frozen.
        start: Step from which it is trained.
    """

    factor: float | np.ndarray
    start: int

    def gate(self, array: jax.Array, step: jax.Array) -> jax.Array:
        """Returns a gradient or an update, zeros if the parameter is frozen at this step."""
        if not np.any(self.factor):
            return jnp.zeros_like(array)
        return jnp.where(step >= self.start, array, 0) if self.start else array


def parameter_names(params: Tree) -> dict[str, Any]:
    """Returns the leaves of a tree by name, such as 'image_tower/fc/kernel'."""
    return {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


def name_of(path: tuple[Any, ...]) -> str:
    """Returns the name of a parameter, given its path in a tree."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def rates(model: AdaMine, params: Tree, optim: Any, steps_per_epoch: int) -> dict[str, Rate]:
    """Returns the rate of each parameter by name.

    Args:
        model: Both towers.
        params: All parameters, or their shapes.
        optim: The section `config.optim`; reads `rates` and `layer_decay`.
        steps_per_epoch: Number of steps of an epoch.

    Raises:
        UserError: A pattern of `optim.rates` matches no parameter, or `optim.layer_decay` applies to none.
    """
    leaves = parameter_names(params)
    entries = [(pattern, float(factor), float(epoch)) for pattern, factor, epoch in map(_entry, optim.rates)]
    for pattern, *_ in entries:
        if not fnmatch.filter(leaves, pattern):
            raise UserError(
                f"config.optim.rates: {pattern!r} matches no parameter; names are for example "
                f"{', '.join(sorted(leaves)[:: max(len(leaves) // 4, 1)][:4])}"
            )
    found = {}
    for name, leaf in leaves.items():
        matching = (entry for entry in entries if fnmatch.fnmatchcase(name, entry[0]))
        _, factor, epoch = next(matching, ("", 1.0, 0.0))
        decay = _layer_decay(model, leaves, name, leaf, optim.layer_decay)
        found[name] = Rate(factor * decay, round(epoch * steps_per_epoch))
    if optim.layer_decay != 1 and not any(isinstance(rate.factor, np.ndarray) for rate in found.values()):
        raise UserError(
            f"config.optim.layer_decay = {optim.layer_decay}: no tower has a pretrained transformer; must be 1"
        )
    return found


def _entry(entry: tuple) -> tuple:
    """Returns (pattern, factor, epoch)."""
    return (*entry, 0)[:3]


def _layer_decay(model: AdaMine, leaves: Mapping[str, Any], name: str, leaf: Any, decay: float) -> float | np.ndarray:
    """Returns decay^(number of layers above), as in BEiT (Bao et al., ICLR 2022), for parameters of a backbone.

    Of n layers, layer l = 0, …, n − 1 gets decay^(n − l); what comes before them, the embeddings, decay^(n + 1).
    """
    inside = next((f"{tower}/{part}/" for tower, part in model.backbone if name.startswith(f"{tower}/{part}/")), None)
    if decay == 1 or inside is None:
        return 1.0
    stacked = [other for other in leaves if other.startswith(f"{inside}transformer/")]
    if not stacked:
        return 1.0  # a ResNet has no layers of this kind
    depth = leaves[stacked[0]].shape[0]
    if name in stacked:
        powers = decay ** np.arange(depth, 0, -1.0)
        return powers.reshape(-1, *[1] * (leaf.ndim - 1))
    is_after = any(word in name.removeprefix(inside) for word in ("post_norm", "final_norm", "projection", "pool"))
    return 1.0 if is_after else decay ** (depth + 1)
