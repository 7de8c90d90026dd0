"""The published criterion in PyTorch: computes all costs, sorts them, and selects the positive ones with a mask.

An independent implementation from its description, for benchmarks only.
"""

import torch
from torch.nn import functional

MARGIN = 0.3
WEIGHTS = {"IRR": 1.0, "RII": 1.0, "SIRR": 0.1, "SRII": 0.1}


def adamine(image: torch.Tensor, recipe: torch.Tensor, class_id: torch.Tensor) -> torch.Tensor:
    """Returns the loss of the `adamine` preset for matched pairs.

    Args:
        image: (B, D) float32 embeddings.
        recipe: (B, D) float32 embeddings.
        class_id: (B,) int64 classes, 0 = background.
    """
    distance = 1 - functional.normalize(image) @ functional.normalize(recipe).T
    loss = 0
    for strategy, weight in WEIGHTS.items():
        from_anchor = distance if strategy in ("IRR", "SIRR") else distance.T
        costs = _semantic(from_anchor, class_id) if strategy[0] == "S" else _instance(from_anchor)
        hardest, _ = torch.sort(costs, dim=1, descending=True)
        active = torch.masked_select(hardest, hardest > 0)
        if len(active):
            loss = loss + weight * active.sum() / len(active)
    return loss / len(WEIGHTS)


def _instance(distance: torch.Tensor) -> torch.Tensor:
    costs = functional.relu(distance.diag()[:, None] - distance + MARGIN)
    return costs * (1 - torch.eye(len(costs), dtype=costs.dtype, device=costs.device))


def _semantic(distance: torch.Tensor, class_id: torch.Tensor) -> torch.Tensor:
    classed = torch.nonzero(class_id != 0)[:, 0]
    same = class_id[classed][:, None] == class_id[None, :]
    same[torch.arange(len(classed)), classed] = False
    has_positive = same.any(dim=1)
    anchors, same = classed[has_positive], same[has_positive]
    is_negative = (class_id[anchors][:, None] != class_id[None, :]) & (class_id != 0)[None, :]
    count = int(is_negative.sum(dim=1).min())
    positive = torch.argmax(same.to(torch.uint8), dim=1)
    rows = distance[anchors]
    # The first `count` negatives of each row form a matrix.
    kept = is_negative & (torch.cumsum(is_negative, dim=1) <= count)
    negatives = torch.masked_select(rows, kept).view(len(anchors), count)
    return functional.relu(rows.gather(1, positive[:, None]) - negatives + MARGIN)
