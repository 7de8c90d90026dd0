"""A bag-of-words baseline of small collections: TF-IDF and a linear layer for each side, InfoNCE, AdamW."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn
from torch.nn import functional

DIM, EPOCHS, BATCH, TEMPERATURE = 256, 60, 100, 0.05


def ranks(
    texts: Sequence[str], photos: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Trains the baseline and ranks the test pairs.

    Args:
        texts: N recipes as text.
        photos: (N, F) features of their first photos.
        train: (n,) rows to train on.
        test: (m,) rows to rank.
        seed: Seed of the weights, batches and dropout.

    Returns:
        (m,) rank of each test photo's recipe among all, and of each recipe's photo, from 1.
    """
    torch.manual_seed(seed)
    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True, stop_words="english").fit([texts[row] for row in train])
    words = torch.tensor(vectorizer.transform(texts).toarray(), dtype=torch.float32)
    standard = torch.tensor((photos - photos[train].mean(0)) / (photos[train].std(0) + 1e-3), dtype=torch.float32)
    recipe = nn.Sequential(nn.Dropout(0.3), nn.Linear(words.shape[1], DIM))
    photo = nn.Sequential(nn.Dropout(0.5), nn.Linear(standard.shape[1], DIM))
    optimizer = torch.optim.AdamW([*recipe.parameters(), *photo.parameters()], 1e-3, weight_decay=0.05)

    def similarities(rows: torch.Tensor) -> torch.Tensor:
        return functional.normalize(photo(standard[rows])) @ functional.normalize(recipe(words[rows])).T

    for epoch in range(EPOCHS):
        order = torch.tensor(np.random.default_rng([seed, epoch]).permutation(train))
        for rows in order.split(BATCH):
            logits, own = similarities(rows) / TEMPERATURE, torch.arange(len(rows))
            loss = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
            optimizer.zero_grad()
            (loss / 2).backward()
            optimizer.step()
    recipe.eval(), photo.eval()
    with torch.no_grad():
        table = similarities(torch.tensor(test)).numpy()
    own = np.diag(table)
    return 1 + (table > own[:, None]).sum(1), 1 + (table > own).sum(0)
