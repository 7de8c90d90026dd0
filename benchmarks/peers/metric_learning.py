"""pytorch-metric-learning's triplet loss with its non-zero reducer: the instance part of AdaMine."""

import torch
from pytorch_metric_learning import distances, losses, reducers

MARGIN = 0.3


def make_instance_loss():
    """Returns a function of image and recipe, both (B, D) float32, to the sum of the IRR and the RII loss."""
    loss = losses.TripletMarginLoss(
        margin=MARGIN, distance=distances.CosineSimilarity(), reducer=reducers.AvgNonZeroReducer()
    )

    def instance_loss(image: torch.Tensor, recipe: torch.Tensor) -> torch.Tensor:
        labels = torch.arange(len(image), device=image.device)
        others = labels.clone()  # with the same tensor twice it would take image i and recipe i for one item
        return loss(image, labels, ref_emb=recipe, ref_labels=others) + loss(
            recipe, labels, ref_emb=image, ref_labels=others
        )

    return instance_loss
