"""InfoNCE and SigLIP in PyTorch, as in the papers' pseudocode: for comparisons only."""

import torch
from torch.nn import functional


def infonce(image: torch.Tensor, recipe: torch.Tensor, _: torch.Tensor, temperature: float = 0.05) -> torch.Tensor:
    """Returns the symmetric cross-entropy of (B, D) embeddings."""
    logits = functional.normalize(image) @ functional.normalize(recipe).T / temperature
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def siglip(
    image: torch.Tensor, recipe: torch.Tensor, _: torch.Tensor, scale: float = 10.0, bias: float = -10.0
) -> torch.Tensor:
    """Returns the sigmoid loss of (B, D) embeddings."""
    logits = functional.normalize(image) @ functional.normalize(recipe).T * scale + bias
    signs = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -functional.logsigmoid(signs * logits).sum() / len(logits)
