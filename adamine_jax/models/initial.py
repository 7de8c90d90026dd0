"""Initial values of parameters: declared where the parameter is, drawn by NumPy all at once.

Inside `init` JAX compiles a generator for every single parameter, which takes 10 s and more for a ResNet-101. Here
`init` is only traced, for the shapes and the declared distributions, and the drawing is one function on the host.
"""

import functools
import math
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jax.typing import DTypeLike

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Initializer = Callable[[jax.Array, tuple[int, ...], DTypeLike], "Declared"]


@struct.dataclass
class Declared(nn.meta.AxisMetadata):
    """A parameter that is not drawn yet: zeros of its shape, and the distribution. Flax unboxes it when it is read."""

    value: Any
    draw: Draw = struct.field(pytree_node=False)

    def unbox(self) -> Any:
        return self.value

    def replace_boxed(self, value: Any) -> "Declared":
        return self.replace(value=value)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "Declared":
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "Declared":
        return self


def declare(draw: Draw) -> Initializer:
    """An initial value for `self.param` or `self.variable`, drawn by `draw(generator, shape)`."""
    return lambda key, shape, dtype: Declared(jnp.zeros(shape, dtype), draw)


def constant(value: float) -> Initializer:
    """Every element is `value`."""
    return declare(lambda rng, shape: np.full(shape, value))


def normal(std: float) -> Initializer:
    """N(0, std²)."""
    return declare(lambda rng, shape: std * rng.standard_normal(shape, np.float32))


def uniform(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return declare(functools.partial(_uniform, bound))


def sum_of_two_uniforms(bound: float) -> Initializer:
    """U(−bound, bound) + U(−bound, bound)."""
    return declare(lambda rng, shape: _uniform(bound, rng, shape) + _uniform(bound, rng, shape))


def word_table(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal rows of expected norm one, like the word vectors that replace most of them; row 0, padding, is zero."""
    rows = rng.standard_normal(shape, np.float32) / math.sqrt(shape[1])
    rows[0] = 0
    return rows


def initial_variables(module: nn.Module, rng: jax.Array, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What `module.init(rng, *args, **kwargs)` is for elsewhere: the variables, with their initial values.

    Args:
        module: whose parameters and variables are all declared by this file's functions.
        rng: a PRNG key. A parameter's values depend on it and on the parameter's path alone.
        args: of the module's `__call__`, arrays or `jax.ShapeDtypeStruct`.
        kwargs: of the module's `__call__`, static.

    Returns:
        {collection: nested dictionaries of arrays}.
    """
    declared = jax.eval_shape(functools.partial(module.init, **kwargs), rng, *args)

    def draw_all(key_data: jax.Array) -> dict[str, Any]:
        seed = [int(word) for word in np.asarray(key_data).ravel()]

        def draw(path: tuple[Any, ...], parameter: Declared) -> np.ndarray:
            generator = np.random.default_rng([*seed, zlib.crc32(jax.tree_util.keystr(path).encode())])
            return np.asarray(parameter.draw(generator, parameter.value.shape), parameter.value.dtype)

        return jax.tree_util.tree_map_with_path(draw, declared, is_leaf=lambda leaf: isinstance(leaf, Declared))

    # A callback, so that this can be traced too, for the shapes.
    return jax.pure_callback(draw_all, nn.meta.unbox(declared), jax.random.key_data(rng))


def _uniform(bound: float, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return bound * (2 * rng.random(shape, np.float32) - 1)
