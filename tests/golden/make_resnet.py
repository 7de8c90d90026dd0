"""Stores results of a ResNet v1.5 in PyTorch: `python tests/golden/make_resnet.py` (requires PyTorch).

NumPy draws the weights, named as in torchvision, from a seed, so that only results are stored. Each case
`<depth>_<size>/` of `resnet.npz` contains the `digest` of its weights, the features in evaluation (`eval`) and training
(`train`), the running statistics after one training step (`running/<name>`), and the gradients of
sum(features · cotangent) in training (`grad/<name>`).
"""

from pathlib import Path

import numpy as np

BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}

GOLDEN = Path(__file__).with_name("resnet.npz")
WIDTH = 8
CASES = ((18, 64), (50, 75))  # (depth, photo size); 64 is divisible by the total stride of 32, 75 is not
GRADIENTS = ("conv1.weight", "bn1.weight", "layer2.0.conv1.weight", "layer4.1.bn2.bias")
RUNNING = {"bn1": 2, "layer1.0.bn2": 4, "layer2.0.downsample.1": 8, "layer4.1.bn2": 32}  # total stride by layer


def random_state(depth: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws a state dict in torchvision's format, scaled so that activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    state = {}

    def conv(name, c_in, c_out, size):
        values = rng.standard_normal((c_out, c_in, size, size)) * np.sqrt(2 / (c_in * size * size))
        state[f"{name}.weight"] = values.astype(np.float32)

    def norm(name, channels, gain=1.0):
        state[f"{name}.weight"] = gain * rng.uniform(0.5, 1.5, channels).astype(np.float32)
        state[f"{name}.bias"] = rng.uniform(-0.2, 0.2, channels).astype(np.float32)
        state[f"{name}.running_mean"] = rng.uniform(-0.2, 0.2, channels).astype(np.float32)
        state[f"{name}.running_var"] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    bottleneck = depth >= 50
    conv("conv1", 3, width, 7)
    norm("bn1", width)
    c_in = width
    for stage, blocks in enumerate(BLOCKS[depth]):
        features = width * 2**stage
        c_out = 4 * features if bottleneck else features
        for i in range(blocks):
            block = f"layer{stage + 1}.{i}"
            sizes = (1, 3, 1) if bottleneck else (3, 3)
            channels = (c_in, features, features, c_out) if bottleneck else (c_in, features, c_out)
            for j, size in enumerate(sizes, start=1):
                conv(f"{block}.conv{j}", channels[j - 1], channels[j], size)
                norm(f"{block}.bn{j}", channels[j], 0.3 if j == len(sizes) else 1.0)
            if c_in != c_out or (stage and i == 0):
                conv(f"{block}.downsample.0", c_in, c_out, 1)
                norm(f"{block}.downsample.1", c_out)
            c_in = c_out
    state["fc.weight"] = rng.standard_normal((10, c_in)).astype(np.float32)
    state["fc.bias"] = rng.standard_normal(10).astype(np.float32)
    return state


def photos(size: int, count: int = 2, seed: int = 1) -> np.ndarray:
    """Draws normalised photos (count, size, size, 3), float32."""
    return np.random.default_rng(seed).standard_normal((count, size, size, 3)).astype(np.float32)


def cotangent(features: int, count: int = 2, seed: int = 2) -> np.ndarray:
    """Draws the cotangent of the features, (count, features) float32."""
    return np.random.default_rng(seed).standard_normal((count, features)).astype(np.float32)


def digest(state: dict[str, np.ndarray]) -> float:
    """Returns a number that changes if NumPy draws different weights."""
    return float(sum(np.abs(array).sum(dtype=np.float64) for array in state.values()))


def torch_features(state: dict, x, depth: int, train: bool):
    """Returns pooled features of photos (B, 3, S, S). Training updates the running statistics in `state`."""
    import torch.nn.functional as F

    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(name, x):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], train, 0.1, 1e-5)

    x = F.max_pool2d(F.relu(norm("bn1", conv("conv1", x, 2))), 3, 2, 1)
    for stage, blocks in enumerate(BLOCKS[depth]):
        for i in range(blocks):
            block = f"layer{stage + 1}.{i}"
            stride = 2 if stage and i == 0 else 1
            if depth >= 50:
                y = F.relu(norm(f"{block}.bn1", conv(f"{block}.conv1", x)))
                y = F.relu(norm(f"{block}.bn2", conv(f"{block}.conv2", y, stride)))
                y = norm(f"{block}.bn3", conv(f"{block}.conv3", y))
            else:
                y = F.relu(norm(f"{block}.bn1", conv(f"{block}.conv1", x, stride)))
                y = norm(f"{block}.bn2", conv(f"{block}.conv2", y))
            if f"{block}.downsample.0.weight" in state:
                x = norm(f"{block}.downsample.1", conv(f"{block}.downsample.0", x, stride))
            x = F.relu(x + y)
    return x.mean((2, 3))


def make() -> None:
    """Writes `resnet.npz`."""
    import torch

    arrays = {}
    for depth, size in CASES:
        case = f"{depth}_{size}"
        numbers = random_state(depth, WIDTH)
        state = {name: torch.tensor(array) for name, array in numbers.items()}
        x = torch.tensor(photos(size)).permute(0, 3, 1, 2)
        arrays[f"{case}/digest"] = digest(numbers)
        arrays[f"{case}/eval"] = torch_features(state, x, depth, train=False).numpy()
        for name in GRADIENTS:
            state[name].requires_grad_()
        features = torch_features(state, x, depth, train=True)
        arrays[f"{case}/train"] = features.detach().numpy()
        (features * torch.tensor(cotangent(features.shape[1]))).sum().backward()
        for name in GRADIENTS:
            arrays[f"{case}/grad/{name}"] = state[name].grad.numpy()
        for name in RUNNING:
            for statistic in ("running_mean", "running_var"):
                arrays[f"{case}/running/{name}.{statistic}"] = state[f"{name}.{statistic}"].numpy()
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    make()
