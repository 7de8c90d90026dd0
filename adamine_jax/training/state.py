"""State of a training run between steps."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from adamine_jax.distributed.mesh import replicated, state_shardings
from adamine_jax.losses.base import Loss, metrics_of
from adamine_jax.models.adamine import TOWERS, AdaMine, init_variables
from adamine_jax.training.optimizer import adam, split_groups

Tree = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of a training run, a pytree sharded as `mesh.state_shardings` says.

    Attributes:
        params: Parameters of the towers and of the loss.
        batch_stats: Running statistics of BatchNorm.
        opt_state: {'backbone': …, 'new': …}, an Adam state for each group of parameters.
        step: () int32, number of steps taken.
        skipped: () int32, number of steps without an update because the loss or the gradient was not finite.
        streak: () int32, number of consecutive skipped steps up to this one.
        sums: {metric: ()}, sums over the steps since the last line of metrics; `steps` counts those not skipped.
        average: Exponential moving average of `params`, which is evaluated and saved as the model; {} without one.
    """

    params: Tree
    batch_stats: Tree
    opt_state: dict[str, Tree]
    step: jax.Array
    skipped: jax.Array
    streak: jax.Array
    sums: dict[str, jax.Array]
    average: Tree = dataclasses.field(default_factory=dict)

    @property
    def model(self) -> dict[str, Tree]:
        """The variables to evaluate: {'params', 'batch_stats'}."""
        return {"params": self.average or self.params, "batch_stats": self.batch_stats}


def loss_params(params: Tree) -> Tree:
    """Returns the parameters of the loss."""
    return {name: tree for name, tree in params.items() if name not in TOWERS}


def initial_variables(
    config: ml_collections.ConfigDict,
    model: AdaMine,
    loss: Loss,
    *,
    num_classes: int,
    word_vectors: np.ndarray | None = None,
) -> dict[str, Tree]:
    """Draws the initial {'params', 'batch_stats'} of a run, including the parameters of the loss.

    `num_classes` includes the background; see `init_variables` for `word_vectors`.
    """
    key = jax.random.key(config.seed)
    variables = init_variables(model, key, config.model, image_size=config.data.image_size, word_vectors=word_vectors)
    params = loss.init(jax.random.fold_in(key, 1), embedding_dim=config.model.embedding_dim, num_classes=num_classes)
    dtype = jax.tree.leaves(variables["params"])[0].dtype
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
    return {**variables, "params": {**variables["params"], **params}}


def create_state(
    model: AdaMine, loss: Loss, variables: dict[str, Tree], mesh: Mesh, has_average: bool = False
) -> TrainState:
    """Creates the state before the first step.

    The backbone's Adam state exists from the start but does not change before `unfreeze_epoch`.
    """
    # Copied, because the first step donates its state.
    variables = jax.device_put(variables, state_shardings(variables, mesh), may_alias=False)
    groups = split_groups(variables["params"], model)

    start = adam().init

    def init(group: Tree) -> Tree:
        return jax.jit(start, out_shardings=state_shardings(jax.eval_shape(start, group), mesh))(group)

    def zero() -> jax.Array:
        return jnp.zeros((), jnp.int32, device=replicated(mesh))

    return TrainState(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state={name: init(group) for name, group in groups.items()},
        step=zero(),
        skipped=zero(),
        streak=zero(),
        sums=zero_sums(model, loss, variables["params"], mesh),
        average=jax.tree.map(jnp.copy, variables["params"]) if has_average else {},
    )


def zero_sums(model: AdaMine, loss: Loss, params: Tree, mesh: Mesh) -> dict[str, jax.Array]:
    """Returns sums of metrics that are 0, each in its own buffer, because all of them are donated."""
    dtype = jax.tree.leaves(params)[0].dtype
    names = metrics_of(loss, loss_params(params), model.image_tower.embedding_dim, model.parts)
    return {name: jnp.zeros((), dtype, device=replicated(mesh)) for name in ("steps", *names, "grad_norm")}
