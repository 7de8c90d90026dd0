"""The instance part of AdaMine's loss in pytorch-metric-learning: a triplet loss, averaged over the positive costs."""

import torch
from pytorch_metric_learning import distances, losses, reducers

MARGIN = 0.3


def make_instance_loss():
    """Returns the sum of the IRR and the RII loss, as a function of (B, D) float32 image and recipe embeddings."""
    loss = losses.TripletMarginLoss(
        margin=MARGIN, distance=distances.CosineSimilarity(), reducer=reducers.AvgNonZeroReducer()
    )

    def instance_loss(image: torch.Tensor, recipe: torch.Tensor) -> torch.Tensor:
        labels = torch.arange(len(image), device=image.device)
        others = labels.clone()  # the same tensor would make image i and recipe i the same item
        return loss(image, labels, ref_emb=recipe, ref_labels=others) + loss(
            recipe, labels, ref_emb=image, ref_labels=others
        )

    return instance_loss
