"""The ResNet matches stored results of a PyTorch implementation, `tests/golden/resnet.npz`."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.models.image import resnet, torchvision
from tests.golden import make_resnet

# Totals of torchvision without the classifier. Torchvision has no ResNet-10; its total was counted by hand.
PARAMETERS = {10: 4_905_792, 18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160, 152: 58_143_808}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameter_counts_match_torchvision(depth):
    params = torchvision.abstract_variables(depth, 64)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS[depth]


@pytest.fixture(params=make_resnet.CASES, ids=lambda case: f"resnet{case[0]}-{case[1]}px")
def case(request):
    depth, size = request.param
    golden = np.load(make_resnet.GOLDEN)
    values = {name.partition("/")[2]: golden[name] for name in golden if name.startswith(f"{depth}_{size}/")}
    state = make_resnet.random_state(depth, make_resnet.WIDTH)
    assert make_resnet.digest(state) == pytest.approx(values["digest"], rel=1e-9), "NumPy draws different weights"
    weights = torchvision.from_state_dict(state)
    return resnet.ResNet(depth, make_resnet.WIDTH), weights.variables, make_resnet.photos(size), values


def relative_error(value, expected):
    return np.abs(np.asarray(value) - expected).max() / np.abs(expected).max()


def test_evaluation_features_match_pytorch(case):
    model, variables, photos, golden = case
    features = jax.jit(lambda v, x: model.apply(v, x, use_running_average=True))(variables, photos)
    assert features.shape == (2, resnet.feature_dim(model.depth, model.width))
    assert relative_error(features, golden["eval"]) < 1e-5


def test_training_features_statistics_and_gradients_match_pytorch(case):
    model, variables, photos, golden = case
    cotangent = make_resnet.cotangent(resnet.feature_dim(model.depth, model.width))

    def loss(params):
        variables_now = {**variables, "params": params}
        features, updated = model.apply(variables_now, photos, use_running_average=False, mutable="batch_stats")
        return jnp.sum(features * cotangent), (features, updated["batch_stats"])

    gradients, (features, batch_stats) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert relative_error(features, golden["train"]) < 1e-4

    before, after = (by_torchvision_name("batch_stats", t) for t in (variables["batch_stats"], batch_stats))
    for name, stride in make_resnet.RUNNING.items():
        mean, var = f"{name}.running_mean", f"{name}.running_var"
        assert relative_error(after[mean], golden[f"running/{mean}"]) < 1e-4, name
        # PyTorch's running variance is unbiased, Σ/(n − 1), ours is Σ/n, for n values per channel.
        n = 2 * math.ceil(photos.shape[1] / stride) ** 2
        batch_var = (after[var] - 0.9 * before[var]) / 0.1
        assert relative_error(0.9 * before[var] + 0.1 * batch_var * n / (n - 1), golden[f"running/{var}"]) < 1e-4, name

    gradients = by_torchvision_name("params", gradients)
    for name in make_resnet.GRADIENTS:
        ours = gradients[name]
        ours = ours.transpose(3, 2, 0, 1) if ours.ndim == 4 else ours
        assert relative_error(ours, golden[f"grad/{name}"]) < 1e-3, name


def by_torchvision_name(collection, tree):
    leaves = torchvision.leaves_with_names({collection: tree})
    return {torchvision.torchvision_name(names): np.asarray(leaf) for names, leaf in leaves}


@pytest.mark.parametrize("depth", [18, pytest.param(50, marks=pytest.mark.slow)])
def test_remat_does_not_change_the_results(depth):
    photos = make_resnet.photos(32)
    model = resnet.ResNet(depth, 4)
    variables = jax.jit(functools.partial(model.init, use_running_average=True))(jax.random.key(0), photos)

    def loss(params, model):
        out, updated = model.apply(
            {**variables, "params": params}, photos, use_running_average=False, mutable="batch_stats"
        )
        return jnp.sum(jnp.sin(out)), updated

    plain, remat = (
        jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(variables["params"], m)
        for m in (model, resnet.ResNet(depth, 4, remat=True))
    )
    assert jax.tree.structure(plain) == jax.tree.structure(remat)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), plain, remat)


@pytest.mark.parametrize("size", [1, 2, 7, 12])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_matches_reduce_window_and_its_gradient(size, ties):
    rng = np.random.default_rng(size)
    x = rng.integers(-2, 3, (2, size, size, 3)) if ties else rng.standard_normal((2, size, size, 3))
    x = jnp.asarray(x, jnp.float32)

    def reference(x):
        padding = ((0, 0), (1, 1), (1, 1), (0, 0))
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)

    weights = rng.standard_normal((2, -(-size // 2), -(-size // 2), 3)).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def value_and_gradient(pool, x):
        return pool(x), jax.grad(lambda x: jnp.sum(weights * pool(x)))(x)

    (pooled, ours), (expected, theirs) = (value_and_gradient(pool, x) for pool in (resnet.max_pool, reference))
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("pool", [resnet.max_pool, resnet._max_of_windows])
def test_max_pool_propagates_nan(pool):
    x = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0, 0].set(jnp.nan)
    np.testing.assert_array_equal(np.isnan(pool(x))[0, :, :, 0], [[True, False], [False, False]])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_product_and_a_convolution_of_size_one_are_the_same(stride):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((2, 7, 6, 5), (1, 1, 5, 4)))
    results = []
    for form in (resnet._product, resnet._convolve):
        y, pull = jax.vjp(functools.partial(form, stride=stride), x, kernel)
        results.append((y, pull(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3), *results)


def test_forms_are_those_of_the_platform_for_which_the_program_is_lowered():
    model = resnet.ResNet(50, 4)
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(x.shape), use_running_average=True))
    traced = jax.jit(lambda variables, x: model.apply(variables, x, use_running_average=True)).trace(variables, x)
    texts = {name: traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda", "tpu")}
    # Of the 53 convolutions of a ResNet-50, 36 have the size 1.
    assert {name: text.count("stablehlo.convolution") for name, text in texts.items()} == {
        "cpu": 53 - 36, "cuda": 53, "tpu": 53
    }  # fmt: skip
    assert {name: text.count("reduce_window") for name, text in texts.items()} == {"cpu": 0, "cuda": 1, "tpu": 1}


def test_bfloat16_batch_norm_keeps_float32_statistics():
    x = 100 + jax.random.normal(jax.random.key(0), (64, 8, 8, 3))
    model = resnet.batch_norm(dtype=jnp.bfloat16)
    variables = model.init(jax.random.key(1), x, use_running_average=True)
    y, updated = model.apply(variables, x, use_running_average=False, mutable="batch_stats")
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.1 * np.mean(x, axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * np.var(x, axis=(0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(np.std(y.astype(np.float32), axis=(0, 1, 2)), 1, atol=0.02)


def test_initial_values():
    photos = jnp.zeros((1, 32, 32, 3))
    variables = jax.jit(functools.partial(resnet.ResNet(18, 16).init, use_running_average=True))(
        jax.random.key(0), photos
    )
    kernel = np.asarray(variables["params"]["layer3_0"]["conv1"]["kernel"])
    assert kernel.shape == (3, 3, 32, 64)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.03)  # Kaiming, fan-out
    assert abs(kernel.mean()) < 0.002
    norm = variables["params"]["layer3_0"]["bn2"] | variables["batch_stats"]["layer3_0"]["bn2"]
    for name, expected in {"scale": 1, "bias": 0, "mean": 0, "var": 1}.items():
        np.testing.assert_array_equal(norm[name], np.full(64, expected))


def test_relu_of_sum_matches_relu_and_its_gradient():
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(64, 128)), 0).astype(np.float32)
    y = rng.normal(size=x.shape).astype(np.float32)
    y[:8] = -x[:8]  # a sum of zero, where the gradient is zero as in PyTorch
    y[8:16] = np.nextafter(-x[8:16], 1)
    cotangent = rng.normal(size=x.shape).astype(np.float32)
    for dtype in (jnp.float32, jnp.bfloat16):
        arrays = [jnp.asarray(array, dtype) for array in (x, y)]
        ours, vjp = jax.vjp(resnet.relu_of_sum, *arrays)
        expected, expected_vjp = jax.vjp(lambda a, b: jax.nn.relu(a + b), *arrays)
        np.testing.assert_array_equal(ours, expected)
        gradients = (pull(cotangent.astype(dtype)) for pull in (vjp, expected_vjp))
        jax.tree.map(np.testing.assert_array_equal, *gradients)
