"""Writes contrastive.npz: InfoNCE and SigLIP with their gradients, and 20 steps of AdamW, all of PyTorch in float64.

    pip install torch==2.13.0
    python -m tests.golden.make_contrastive

The losses are `benchmarks/peers/torch_contrastive.py`. The optimiser has a group for each parameter, as the entries of
`GROUPS` say, `LinearLR` and then `CosineAnnealingLR`, gradients clipped by their norm, and an `AveragedModel`.
"""

from pathlib import Path

import numpy as np
import torch
from torch.optim import lr_scheduler, swa_utils

from benchmarks.peers.torch_contrastive import infonce, siglip

ROWS, WIDTH, STEPS, LAYERS = 7, 5, 20, 3
LR, DECAY, CLIP, AVERAGE = 0.01, 0.1, 4.0, 0.9
WARMUP, COSINE = 5, 10
LAYER_DECAY, BACKBONE = 0.5, 0.2
GROUPS = {
    # name: (shape, factor of the learning rate, whether the weight decays)
    "image_tower/fc/kernel": ((3, 4), 0.5, True),
    "image_tower/fc/bias": ((4,), 0.5, False),
    "recipe_tower/fc/kernel": ((5, 4), 1.0, True),
    "recipe_tower/fc/bias": ((4,), 0.0, False),
    **{
        f"image_tower/vit/transformer/qkv_kernel/{layer}": ((2, 3), BACKBONE * LAYER_DECAY ** (LAYERS - layer), True)
        for layer in range(LAYERS)
    },
}


def losses(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns the embeddings, and value and gradients of each loss."""
    given = {side: rng.standard_normal((ROWS, WIDTH)) for side in ("image", "recipe")}
    results = dict(given)
    calls = {
        "infonce": (infonce, {"temperature": 0.1}),
        "siglip": (siglip, {"scale": 7.0, "bias": -3.0}),
    }
    for name, (loss, options) in calls.items():
        sides = [torch.tensor(given[side], requires_grad=True) for side in given]
        scalars = {
            option: torch.tensor(value, dtype=torch.float64, requires_grad=True) for option, value in options.items()
        }
        value = loss(*sides, None, **scalars)
        value.backward()
        gradients = {**dict(zip(given, sides, strict=True)), **scalars}
        results |= {f"{name}/{key}": tensor.grad.numpy() for key, tensor in gradients.items()}
        results[f"{name}/value"] = value.detach().numpy()
    return results


def optimiser(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns the first values, the gradients, the values after each step and the average of each parameter."""
    module = torch.nn.ParameterList(torch.tensor(rng.standard_normal(shape)) for shape, *_ in GROUPS.values())
    gradients = [rng.standard_normal((STEPS, *shape)) for shape, *_ in GROUPS.values()]
    adamw = torch.optim.AdamW(
        [
            {"params": [parameter], "lr": LR * factor, "weight_decay": DECAY * decays}
            for parameter, (_, factor, decays) in zip(module, GROUPS.values(), strict=True)
        ]
    )
    warmup = lr_scheduler.LinearLR(adamw, 1 / WARMUP, total_iters=WARMUP - 1)
    cosine = lr_scheduler.CosineAnnealingLR(adamw, COSINE)
    schedule = lr_scheduler.SequentialLR(adamw, [warmup, cosine], milestones=[STEPS - COSINE])

    def mean(average: torch.Tensor, new: torch.Tensor, taken: int) -> torch.Tensor:
        share = min(AVERAGE, taken / (9 + taken))
        return share * average + (1 - share) * new

    average = swa_utils.AveragedModel(module, avg_fn=mean)
    average.update_parameters(module)  # the first call copies
    results = {}
    for name, parameter, gradient in zip(GROUPS, module, gradients, strict=True):
        results |= {f"{name}/start": parameter.detach().numpy().copy(), f"{name}/gradients": gradient}
        results[f"{name}/values"] = np.zeros_like(gradient)
    for step in range(STEPS):
        for parameter, gradient in zip(module, gradients, strict=True):
            parameter.grad = torch.tensor(gradient[step])
        frozen = [parameter for parameter, (_, factor, _) in zip(module, GROUPS.values(), strict=True) if not factor]
        for parameter in frozen:
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(module, CLIP)
        adamw.step()
        schedule.step()
        average.update_parameters(module)
        for name, parameter in zip(GROUPS, module, strict=True):
            results[f"{name}/values"][step] = parameter.detach().numpy()
    for name, parameter in zip(GROUPS, average.module, strict=True):
        results[f"{name}/average"] = parameter.detach().numpy()
    return results


def main() -> None:
    """Writes the file."""
    rng = np.random.default_rng(0)
    np.savez_compressed(Path(__file__).with_name("contrastive.npz"), **losses(rng), **optimiser(rng))


if __name__ == "__main__":
    main()
