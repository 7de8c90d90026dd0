"""Training step: forward pass, loss, gradients, update and metrics."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from adamine_jax.distributed.mesh import replicated, state_shardings
from adamine_jax.losses.base import Loss, Metrics
from adamine_jax.losses.blocks import from_blocks, in_blocks
from adamine_jax.losses.schedules import scheduled
from adamine_jax.models.adamine import AdaMine, recipes_with_parts
from adamine_jax.training import optimizer
from adamine_jax.training.parameter_rates import rates
from adamine_jax.training.photo_augmentation import augment
from adamine_jax.training.state import TrainState, loss_params

Tree = Any
Batch = Mapping[str, jax.Array]


def train_step(
    model: AdaMine,
    loss: Loss,
    config: Any,
    mesh: Mesh,
    steps_per_epoch: int,
    state: TrainState,
    batch: Batch,
    frozen: bool,
) -> TrainState:
    """Takes one training step; `make_train_step` compiles it.

    Args:
        model: Both towers.
        loss: Loss of the run.
        config: Configuration of the run.
        mesh: Mesh of `make_mesh`.
        steps_per_epoch: Number of steps of an epoch.
        state: State before the step.
        batch: Global batch, its rows sharded over all devices.
        frozen: Whether the backbone is frozen.

    Returns:
        The state after the step, with the step's metrics added to `sums`. If the loss or the gradient is not finite,
        only the counters change.
    """
    groups = optimizer.split_groups(state.params, model)
    trained = {name: group for name, group in groups.items() if not (frozen and name == "backbone")}

    def loss_of(trained: dict[str, Tree]) -> tuple[jax.Array, tuple[Metrics, Tree]]:
        # Each device computes on its rows with whole parameters: gather them, and not the activations.
        params = jax.lax.with_sharding_constraint(optimizer.merge_groups(groups | trained), replicated(mesh))
        embeddings, batch_stats = _embed(model, config, mesh, state, params, batch, frozen)
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        current = scheduled(loss, config.loss_schedules, state.step // steps_per_epoch)
        value, metrics = current(loss_params(params), embeddings, batch, key=key)
        return value, ({"loss": value} | metrics, batch_stats)

    (value, (metrics, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
    gradients = jax.lax.with_sharding_constraint(gradients, state_shardings(gradients, mesh))
    optim = config.optim
    params, opt_state, norm = optimizer.update(
        model,
        state.params,
        gradients,
        state.opt_state,
        optim,
        optimizer.learning_rate(config, steps_per_epoch)(state.step),
        rates(model, state.params, optim, steps_per_epoch),
        state.step,
    )
    average = optimizer.averaged(state.average, params, optim.average, state.step) if optim.average else {}

    finite = jnp.isfinite(value) & jnp.isfinite(norm)
    metrics = metrics | {"grad_norm": norm}
    sums = {name: state.sums[name] + number for name, number in (metrics | {"steps": 1}).items()}

    def keep(new: Tree, old: Tree) -> Tree:
        return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

    return TrainState(
        params=keep(params, state.params),
        batch_stats=keep(batch_stats, state.batch_stats),
        opt_state=keep(opt_state, state.opt_state),
        step=state.step + 1,
        skipped=state.skipped + ~finite,
        streak=jnp.where(finite, 0, state.streak + 1),
        sums=keep(sums, state.sums),
        average=keep(average, state.average),
    )


def _embed(
    model: AdaMine, config: Any, mesh: Mesh, state: TrainState, params: Tree, batch: Batch, frozen: bool
) -> tuple[dict[str, jax.Array], Tree]:
    """Returns the embeddings of a training batch, the inputs of the loss, and the updated batch statistics.

    With `config.accumulate` = n, the batch is embedded in n parts, one after the other, and each part again for its
    gradient (GradCache; Gao et al., *Scaling deep contrastive learning batch size*, 2021). The embeddings of all parts
    enter the loss, so it is that of the whole batch, but the towers need the memory of one part.
    """
    rows = len(batch["class_id"])
    # Computed here, because they depend on the whole batch.
    inputs: dict[str, Any] = {"batch": {**batch, **model.recipe_tower.global_fields(batch)}}
    for purpose, (name, tower) in enumerate((("image", model.image_tower), ("recipe", model.recipe_tower))):
        if tower.needs_keys:
            inputs[f"{name}_keys"] = _row_keys(config.seed, state.step, purpose, rows)
    if config.data.jitter or config.data.erase:
        inputs["colour_keys"] = _row_keys(config.seed, state.step, 2, rows)

    def embed(batch_stats: Tree, inputs: Mapping[str, Any]) -> tuple[Tree, dict[str, jax.Array]]:
        batch, data = inputs["batch"], config.data
        images = batch["image"]
        if "colour_keys" in inputs:
            images = augment(images, inputs["colour_keys"], jitter=data.jitter, erase=data.erase)
        images, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            use_running_average=frozen and config.freeze_batch_stats,
            keys=inputs.get("image_keys"),
            mutable=["batch_stats"],
            method="images_with_parts",
        )
        recipes = recipes_with_parts(model, params, batch, mesh, train=True, keys=inputs.get("recipe_keys"))
        has_image = batch["has_image"] if "has_image" in batch else jnp.ones(len(batch["class_id"]), bool)
        return updated.get("batch_stats", batch_stats), {**images, **recipes, "has_image": has_image}

    if config.accumulate == 1:
        batch_stats, embeddings = embed(state.batch_stats, inputs)
    else:
        # A part contains rows of all devices. Only the embeddings are kept for the backward pass.
        parts, _ = in_blocks(rows // config.accumulate, inputs)
        step = jax.checkpoint(embed, prevent_cse=False)  # a loop needs no barrier against common subexpressions
        batch_stats, embeddings = jax.lax.scan(step, state.batch_stats, parts)
        embeddings = from_blocks(embeddings, rows)
    return embeddings, batch_stats


def _row_keys(seed: int, step: jax.Array, purpose: int, rows: int) -> jax.Array:
    """Returns (B,) PRNG keys that depend only on the seed, the step, the purpose and the row of the global batch."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), purpose + 1)
    return jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(rows))


def make_train_step(
    model: AdaMine, loss: Loss, config: Any, mesh: Mesh, steps_per_epoch: int
) -> Callable[..., TrainState]:
    """Compiles `train_step` for a mesh.

    Returns:
        step(state, batch, frozen) -> state. `state` is donated, and `frozen` is static.
    """

    @functools.partial(jax.jit, static_argnames="frozen", donate_argnums=0)
    def step(state: TrainState, batch: Batch, frozen: bool) -> TrainState:
        state = train_step(model, loss, config, mesh, steps_per_epoch, state, batch, frozen)
        return jax.lax.with_sharding_constraint(state, state_shardings(state, mesh))

    return step
