"""The losses by their definitions, entry by entry, in float64: the reference for the fast implementations."""

import numpy as np


def distance(x, y):
    """1 − cos(x, y) of two vectors; a zero vector is at distance 1 from everything."""
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return 1 - (np.dot(x, y) / norms if norms else 0)


def rows_of_costs(strategy, image, recipe, recipe_class, image_class, match, margin, positives, negatives):
    """[(positive distance, [(batch index, negative distance)], zeroed entries)], one an anchor and positive."""
    of, classes = {"I": image, "R": recipe}, {"I": image_class, "R": recipe_class}
    anchor, candidate = strategy[-3], strategy[-1]
    everyone = range(len(image))
    if strategy[0] != "S":
        matched = [i for i in everyone if match[i] > 0]
        return [
            (
                distance(of[anchor][i], of[strategy[1]][i]),
                [(j, distance(of[anchor][i], of[candidate][j])) for j in matched if j != i],
                1,
            )
            for i in matched
        ]
    classed = [i for i in everyone if classes[anchor][i] != 0]
    others = {i: [j for j in everyone if classes[candidate][j] not in (0, classes[anchor][i])] for i in classed}
    fewest = min(map(len, others.values()), default=0)
    rows = []
    for i in classed:
        same = [j for j in everyone if j != i and classes[candidate][j] == classes[anchor][i]]
        kept = others[i][:fewest] if negatives == "smallest" else others[i]
        for p in same if positives == "all" else same[:1]:
            to_positive = distance(of[anchor][i], of[candidate][p])
            rows.append((to_positive, [(j, distance(of[anchor][i], of[candidate][j])) for j in kept], 0))
    return rows


def triplet(
    strategy,
    image,
    recipe,
    recipe_class,
    match,
    image_class=None,
    *,
    margin=0.3,
    num_negatives=None,
    sampling="hardest",
    aggregation="valid",
    semantic_positives="first",
    semantic_negatives="smallest",
):
    """(loss, bad_pairs) of one strategy; all samplings but 'random'."""
    image_class = recipe_class if image_class is None else image_class
    entries = []
    for to_positive, candidates, zeroed in rows_of_costs(
        strategy, image, recipe, recipe_class, image_class, match, margin, semantic_positives, semantic_negatives
    ):
        costs = [max(0.0, to_positive - to_negative + margin) for _, to_negative in candidates]
        if sampling == "semi_hard":
            costs = [cost for cost in costs if 0 < cost < margin]
        else:
            costs += [0.0] * zeroed
        entries += sorted(costs, reverse=True)[:num_negatives]
    entries = np.array(entries)
    count = np.sum(entries > 0) if aggregation == "valid" else len(entries)
    return (entries.sum() / count if count else 0.0), (np.mean(entries == 0) if len(entries) else 0.0)


def lifted(image, recipe, match, margin=0.3, published_scale=False):
    """(loss, bad_pairs) of the lifted structured loss."""
    matched = [i for i in range(len(image)) if match[i] > 0]
    costs = []
    for i in matched:
        others = [j for j in matched if j != i]
        total = sum(np.exp(margin - distance(image[j], recipe[i])) for j in others)
        total += sum(np.exp(margin - distance(image[i], recipe[j])) for j in others)
        costs.append(max(0.0, distance(image[i], recipe[i]) + np.log(total)) if others else 0.0)
    costs = np.array(costs)
    if not len(costs):
        return 0.0, 0.0
    square = np.sum(costs**2) / 2
    return (square * len(costs) if published_scale else square / len(costs)), np.mean(costs == 0)
