"""What training carries from step to step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax.losses.base import Loss, metrics_of
from adamine_jax.models.adamine import TOWERS, AdaMine, init_variables
from adamine_jax.training.optimizer import ADAM, split_groups

Tree = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree, replicated over the mesh.

    Attributes:
        params: The parameters of the towers, and beside them those of the loss.
        batch_stats: BatchNorm's running statistics.
        opt_state: {'backbone': …, 'new': …}, an Adam state for each group of parameters.
        step: () int32, batches that are over.
        skipped: () int32, those of them that changed nothing because a loss or gradient was not finite.
        streak: () int32, skipped batches in a row up to now.
        sums: {metric: ()}, over the steps since the last line of metrics; `steps` counts them, the skipped ones not.
    """

    params: Tree
    batch_stats: Tree
    opt_state: dict[str, Tree]
    step: jax.Array
    skipped: jax.Array
    streak: jax.Array
    sums: dict[str, jax.Array]


def loss_params(params: Tree) -> Tree:
    """The parameters that belong to the loss."""
    return {name: tree for name, tree in params.items() if name not in TOWERS}


def initial_variables(
    config: ml_collections.ConfigDict,
    model: AdaMine,
    loss: Loss,
    *,
    num_classes: int,
    word_vectors: np.ndarray | None = None,
) -> dict[str, Tree]:
    """Draws the first {'params', 'batch_stats'} of a run, the parameters of the loss among them.

    Args:
        config: Of the run.
        model: Both towers.
        loss: That is trained.
        num_classes: Classes of the data set, the background counted.
        word_vectors: See `init_variables`.
    """
    key = jax.random.key(config.seed)
    variables = init_variables(model, key, config.model, image_size=config.data.image_size, word_vectors=word_vectors)
    own = loss.init(jax.random.fold_in(key, 1), embedding_dim=config.model.embedding_dim, num_classes=num_classes)
    dtype = jax.tree.leaves(variables["params"])[0].dtype
    own = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), own)
    return {**variables, "params": {**variables["params"], **own}}


def create_state(model: AdaMine, loss: Loss, variables: dict[str, Tree], mesh: Mesh) -> TrainState:
    """The state before the first step.

    The backbone's Adam state exists from the start but is untouched while it is frozen, so it begins fresh when
    training reaches `unfreeze_epoch`.

    Args:
        model: Both towers.
        loss: That is trained.
        variables: {'params', 'batch_stats'}, of `initial_variables`; copied, since the first step uses up its state.
        mesh: To replicate the state over.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    variables = jax.device_put(variables, replicated, may_alias=False)
    groups = split_groups(variables["params"], model)
    init = jax.jit(ADAM.init, out_shardings=replicated)
    return TrainState(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state={name: init(group) for name, group in groups.items()},
        step=jnp.zeros((), jnp.int32, device=replicated),
        skipped=jnp.zeros((), jnp.int32, device=replicated),
        streak=jnp.zeros((), jnp.int32, device=replicated),
        sums=zero_sums(model, loss, variables["params"], mesh),
    )


def zero_sums(model: AdaMine, loss: Loss, params: Tree, mesh: Mesh) -> dict[str, jax.Array]:
    """The sums of metrics over no steps; each has a buffer of its own, since all of them are donated."""
    dtype, replicated = jax.tree.leaves(params)[0].dtype, NamedSharding(mesh, PartitionSpec())
    names = metrics_of(loss, loss_params(params), model.image_tower.embedding_dim, model.parts)
    return {name: jnp.zeros((), dtype, device=replicated) for name in ("steps", *names, "grad_norm")}
