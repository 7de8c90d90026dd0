"""What training carries from step to step, and the step itself."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax import losses
from adamine_jax.models.adamine import AdaMine, embed_recipes

Tree = Any
CLIP_EPSILON = 1e-6  # PyTorch's clipping divides by norm + 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree, replicated over the mesh.

    Attributes:
        params: the model's parameters.
        batch_stats: BatchNorm's running statistics.
        opt_state: {'recipe': …, 'image': …}, an Adam state for each group of parameters.
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


def split_groups(params: Tree) -> dict[str, Tree]:
    """The optimiser's groups: 'image' is the ResNet, 'recipe' everything else, the image tower's head included.

    Without a ResNet, which features stand in for, 'image' is empty.
    """
    image_tower = dict(params["image_tower"])
    resnet = image_tower.pop("resnet", {})
    return {"image": resnet, "recipe": {**params, "image_tower": image_tower}}


def merge_groups(groups: dict[str, Tree]) -> Tree:
    """The inverse of `split_groups`."""
    recipe = groups["recipe"]
    if not groups["image"]:
        return recipe
    return {**recipe, "image_tower": {**recipe["image_tower"], "resnet": groups["image"]}}


def copies(params: Tree) -> Tree:
    """How many parameters of PyTorch's each leaf is: 2 for an LSTM's bias, 1 otherwise.

    PyTorch's LSTMs have two biases that only ever act as their sum, which is what is kept here. Both get the same
    gradient: both count in its norm, and under Adam their sum moves twice as far as one of them.
    """

    def count(path: tuple[Any, ...], _: jax.Array) -> int:
        names = [entry.key for entry in path]
        return 2 if names[-1] == "bias" and any(name.endswith("_lstm") for name in names) else 1

    return jax.tree_util.tree_map_with_path(count, params)


ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
"""Of either group; the learning rate, which counts the steps of training and not those of a group, comes after it."""


def learning_rate(config, steps_per_epoch: int) -> optax.Schedule:
    """The rate at each step of training: `optim.lr`, falling linearly to 0 over the last `optim.decay_epochs`.

    Args:
        config: of the run.
        steps_per_epoch: batches in an epoch.

    Returns:
        A function from the number of steps done to the rate of the next one.
    """
    decay_steps = config.optim.decay_epochs * steps_per_epoch
    if not decay_steps:
        return optax.constant_schedule(config.optim.lr)
    begin = max(config.epochs * steps_per_epoch - decay_steps, 0)
    return optax.linear_schedule(config.optim.lr, 0.0, decay_steps, begin)


def metric_names(config) -> tuple[str, ...]:
    """The metrics of a training step: those of the loss and the gradient's norm."""
    return (*losses.metric_names(config.loss), "grad_norm")


def create_state(config, variables: dict[str, Tree], mesh: Mesh) -> TrainState:
    """The state before the first step.

    The ResNet's Adam state exists from the start but is untouched while it is frozen, so it begins fresh when
    training reaches `unfreeze_epoch`.

    Args:
        config: of the run.
        variables: {'params', 'batch_stats'} of the model; copied, since the first step uses up its state.
        mesh: to replicate the state over.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    variables = jax.device_put(variables, replicated, may_alias=False)
    groups = split_groups(variables["params"])
    init = jax.jit(ADAM.init, out_shardings=replicated)
    return TrainState(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state={name: init(group) for name, group in groups.items()},
        step=jnp.zeros((), jnp.int32, device=replicated),
        skipped=jnp.zeros((), jnp.int32, device=replicated),
        streak=jnp.zeros((), jnp.int32, device=replicated),
        sums=zero_sums(config, variables["params"], mesh),
    )


def zero_sums(config, params: Tree, mesh: Mesh) -> dict[str, jax.Array]:
    """The sums of metrics over no steps; each has a buffer of its own, since all of them are donated."""
    dtype, replicated = jax.tree.leaves(params)[0].dtype, NamedSharding(mesh, PartitionSpec())
    return {name: jnp.zeros((), dtype, device=replicated) for name in ("steps", *metric_names(config))}


def make_train_step(model: AdaMine, config, mesh: Mesh, rate: optax.Schedule) -> Callable[..., TrainState]:
    """Compiles the training step for a mesh.

    Args:
        model: both towers.
        config: of the run.
        mesh: with the axis 'data'.
        rate: the learning rate at each step; see `learning_rate`.

    Returns:
        step(state, batch, frozen) → state. The state given is used up; `batch` is a global batch sharded over 'data';
        `frozen`, static, says whether the ResNet stands still. The step's metrics are added to `state.sums`.
    """
    replicated = NamedSharding(mesh, PartitionSpec())

    @functools.partial(jax.jit, static_argnames="frozen", donate_argnums=0, out_shardings=replicated)
    def train_step(state: TrainState, batch: dict[str, jax.Array], frozen: bool) -> TrainState:
        groups = split_groups(state.params)
        trained = {name: group for name, group in groups.items() if not (frozen and name == "image")}

        def loss_of(trained: dict[str, Tree]) -> tuple[jax.Array, tuple[dict, Tree]]:
            params = merge_groups(groups | trained)
            image, updated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch["image"],
                train=True,
                use_running_average=frozen and config.freeze_batch_stats,
                mutable=["batch_stats"],
                method="embed_images",
            )
            recipe = embed_recipes(model, params, batch, mesh)
            logits = {}
            if config.loss.classifier_weight:
                classify = functools.partial(model.apply, {"params": params}, method="classify")
                logits = {"image_logits": classify(image), "recipe_logits": classify(recipe)}
            loss, metrics = losses.total_loss(
                config.loss,
                image,
                recipe,
                batch["class_id"],
                batch["match"],
                image_class_id=batch["image_class_id"],
                key=jax.random.fold_in(jax.random.key(config.seed), state.step),
                **logits,
            )
            return loss, (metrics, updated.get("batch_stats", state.batch_stats))

        (loss, (metrics, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
        counts = copies(gradients)
        norm = optax.tree.norm(jax.tree.map(lambda g, n: g * n**0.5, gradients, counts))
        scale = jnp.minimum(1.0, config.optim.clip_norm / (norm + CLIP_EPSILON))
        gradients = jax.tree.map(lambda g: g * scale, gradients)

        opt_state = dict(state.opt_state)
        for name, group in trained.items():
            updates, opt_state[name] = ADAM.update(gradients[name], state.opt_state[name])
            updates = jax.tree.map(lambda u, n: -rate(state.step) * n * u, updates, counts[name])
            groups[name] = optax.apply_updates(group, updates)

        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        metrics = metrics | {"grad_norm": norm}
        sums = {name: state.sums[name] + value for name, value in (metrics | {"steps": 1}).items()}

        def keep(new: Tree, old: Tree) -> Tree:
            return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

        return TrainState(
            params=keep(merge_groups(groups), state.params),
            batch_stats=keep(batch_stats, state.batch_stats),
            opt_state=keep(opt_state, state.opt_state),
            step=state.step + 1,
            skipped=state.skipped + ~finite,
            streak=jnp.where(finite, 0, state.streak + 1),
            sums=keep(sums, state.sums),
        )

    return train_step
