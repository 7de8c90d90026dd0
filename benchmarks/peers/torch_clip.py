"""CLIP ViT-B/16 and its text encoder of PyTorch's own layers, with InfoNCE, as a peer.

An independent implementation for benchmarks only: it has the sizes and the operations, and not CLIP's weights.
"""

import torch
from torch import nn
from torch.nn import functional


class ImageEncoder(nn.Module):
    """ViT-B/16 with a class token and a linear layer; maps (B, 3, 224, 224) to (B, D)."""

    def __init__(self, dim: int = 512, width: int = 768, depth: int = 12, heads: int = 12):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.layers = _layers(width, depth, heads)
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.positions
        return self.fc(self.norm(self.layers(x))[:, 0])


class TextEncoder(nn.Module):
    """A causal transformer over segments and a linear layer on their mean; maps (B, S, T) ids to (B, D)."""

    def __init__(
        self, dim: int = 512, width: int = 512, depth: int = 12, heads: int = 8, words: int = 49408, length: int = 77
    ):
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        self.layers = _layers(width, depth, heads)
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, dim)

    def forward(self, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """`last` (B, S) is the place of each segment's last token, -1 for a missing segment."""
        rows, segments, length = ids.shape
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=ids.device)
        x = self.table(ids.reshape(-1, length)) + self.positions[:length]
        x = self.norm(self.layers(x, mask=mask, is_causal=True))
        ends = x[torch.arange(rows * segments, device=ids.device), last.reshape(-1).clamp(min=0)]
        is_there = (last >= 0).to(x.dtype)[..., None]
        return self.fc((ends.reshape(rows, segments, -1) * is_there).sum(1) / is_there.sum(1).clamp(min=1))


def _layers(width: int, depth: int, heads: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


def infonce(images: torch.Tensor, recipes: torch.Tensor, temperature: float = 0.05) -> torch.Tensor:
    """The mean cross-entropy of both directions."""
    scores = functional.normalize(images, dim=1) @ functional.normalize(recipes, dim=1).T / temperature
    target = torch.arange(len(scores), device=scores.device)
    return (functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)) / 2
