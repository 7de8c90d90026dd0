"""ResNet v1.5 with the same outputs as torchvision's, so that its weights can be loaded.

He et al., *Deep Residual Learning for Image Recognition* (CVPR 2016). In v1.5 the 3×3 convolution of a
bottleneck has the stride, not the first 1×1 convolution.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

# The running variance is biased, as in Flax. PyTorch's is unbiased, Σ/(n − 1).
batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Blocks in each of the four stages, and whether a block is a bottleneck (1×1, 3×3, 1×1) or basic (3×3, 3×3)."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool


LAYOUTS = {
    10: Layout((1, 1, 1, 1), bottleneck=False),  # for small images and quick trials; not in torchvision
    18: Layout((2, 2, 2, 2), bottleneck=False),
    34: Layout((3, 4, 6, 3), bottleneck=False),
    50: Layout((3, 4, 6, 3), bottleneck=True),
    101: Layout((3, 4, 23, 3), bottleneck=True),
    152: Layout((3, 8, 36, 3), bottleneck=True),
}


def feature_dim(depth: int, width: int = 64) -> int:
    """Returns the length of the pooled feature vector: 2048 for a ResNet-50 of standard width."""
    return width * 8 * (4 if LAYOUTS[depth].bottleneck else 1)


def max_pool(x: jax.Array) -> jax.Array:
    """Takes the maximum of 3×3 windows, stride 2, padding 1 (−inf): (B, H, W, C) to (B, ⌈H/2⌉, ⌈W/2⌉, C).

    The first of equal maxima in row order gets the gradient, and NaN is the maximum, as in PyTorch. On a CPU the
    gradient of XLA's `reduce_window` is slow; on a TPU shifted views access 5 % more memory in a step of a ResNet-101.
    """
    return jax.lax.platform_dependent(x, cpu=_max_of_shifted_views, default=_max_of_windows)


def _max_of_shifted_views(x: jax.Array) -> jax.Array:
    """Compares shifted views, first rows and then columns."""
    for axis in (2, 1):
        size = -(-x.shape[axis] // 2)
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded = jnp.pad(x, pad, constant_values=-jnp.inf)
        shifted = [jax.lax.slice_in_dim(padded, s, s + 2 * size - 1, stride=2, axis=axis) for s in range(3)]
        x = functools.reduce(lambda a, b: jnp.where((b > a) | jnp.isnan(b), b, a), shifted)
    return x


def _max_of_windows(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class Conv(nn.Module):
    """A k×k convolution without bias, padded by (k − 1)/2 on every side, initialised Kaiming-normal (fan-out).

    On a CPU a 1×1 convolution is computed as a matrix product over the channels, which trains twice as fast. On a TPU
    that form accesses 5 % more memory in a step of a ResNet-101.

    Attributes:
        features: Output channels.
        size: k, odd.
        stride: Stride of both spatial axes.
        dtype: Dtype of the computation.
        param_dtype: Dtype of `kernel` (k, k, C, features).
    """

    features: int
    size: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, ⌈H/stride⌉, ⌈W/stride⌉, features) of `dtype`."""
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape, self.param_dtype).astype(self.dtype)
        x = x.astype(self.dtype)
        convolve = functools.partial(_convolve, stride=self.stride)
        if self.size > 1:
            return convolve(x, kernel)
        return jax.lax.platform_dependent(
            x, kernel, cpu=functools.partial(_product, stride=self.stride), default=convolve
        )


def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[((len(kernel) - 1) // 2,) * 2] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _product(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Computes a 1×1 convolution with all positions on one axis, to avoid transposed copies in XLA:CPU's gradients."""
    x = x[:, ::stride, ::stride]
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], -1)


@jax.custom_jvp
def relu_of_sum(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes max(x + y, 0), bit for bit, in a form that XLA:CPU materialises.

    XLA:CPU duplicates max(·, 0) into every consumer instead of materialising it, so a whole stage would be recomputed
    for each of its blocks. It does materialise a sum of two arrays.
    """
    return x + jnp.maximum(y, -x)


@relu_of_sum.defjvp
def _relu_of_sum_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    out = relu_of_sum(*primals)
    return out, jnp.where(out > 0, tangents[0] + tangents[1], 0)


class Block(nn.Module):
    """A residual block, basic or bottleneck, with a projection if the shape changes.

    Attributes:
        features: Channels of the 3×3 convolutions. The output of a bottleneck has four times as many.
        stride: Stride of the first 3×3 convolution.
        bottleneck: Whether the convolutions are 1×1, 3×3, 1×1 instead of 3×3, 3×3.
        dtype, param_dtype: Dtypes of computation and parameters.
    """

    features: int
    stride: int
    bottleneck: bool
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, use_running_average: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, ⌈H/stride⌉, ⌈W/stride⌉, features or 4·features)."""
        conv = functools.partial(Conv, dtype=self.dtype, param_dtype=self.param_dtype)
        norm = functools.partial(batch_norm, dtype=self.dtype, param_dtype=self.param_dtype)
        if self.bottleneck:
            layers = [(self.features, 1, 1), (self.features, 3, self.stride), (4 * self.features, 1, 1)]
        else:
            layers = [(self.features, 3, self.stride), (self.features, 3, 1)]
        y = x
        for i, (features, size, stride) in enumerate(layers, start=1):
            y = conv(features, size, stride, name=f"conv{i}")(y)
            y = norm(name=f"bn{i}")(y, use_running_average=use_running_average)
            if i < len(layers):
                y = nn.relu(y)
        if x.shape != y.shape:
            x = conv(y.shape[-1], 1, self.stride, name="downsample_conv")(x)
            x = norm(name="downsample_bn")(x, use_running_average=use_running_average)
        return relu_of_sum(x, y)


class ResNet(nn.Module):
    """ResNet-10, 18, 34, 50, 101 or 152 up to the global average pool.

    Attributes:
        depth: A key of `LAYOUTS`.
        width: Channels of the first stage: 64 as published, fewer for CPUs.
        remat: Whether to recompute a block's activations in the backward pass instead of keeping them.
        dtype: Dtype of convolutions and activations.
        param_dtype: Dtype of parameters, BatchNorm statistics and output.
    """

    depth: int
    width: int = 64
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool) -> jax.Array:
        """Maps normalised images (B, S, S, 3) to features (B, feature_dim(depth, width))."""
        layout = LAYOUTS[self.depth]
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Conv(self.width, 7, 2, **dtypes, name="conv1")(x)
        x = batch_norm(**dtypes, name="bn1")(x, use_running_average=use_running_average)
        x = max_pool(nn.relu(x))
        for stage, blocks in enumerate(layout.blocks):
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                features = self.width * 2**stage
                name = f"layer{stage + 1}_{i}"
                x = block(features, stride, layout.bottleneck, **dtypes, name=name)(x, use_running_average)
        return jnp.mean(x.astype(self.param_dtype), axis=(1, 2))
