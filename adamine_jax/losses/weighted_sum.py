"""A weighted sum of losses."""

import jax
import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import is_number
from adamine_jax.losses import registry
from adamine_jax.losses.base import Loss


class WeightedSum(Loss):
    """Computes Σ weight_t · loss_t. Each term is a loss with its own section, parameters and key.

    `config.overrides.set_loss(config, [("triplet", 1.0), ("my_package.my_module:MyLoss", 0.5)])` writes the section:
    `terms.<term>` is the section of a term, `weights.<term>` its weight. The metrics of a term are named
    `<term>/<metric>`.
    """

    def __init__(self, config: ml_collections.ConfigDict):
        super().__init__(config)
        self._terms = {name: registry.build(term) for name, term in config.terms.items()}

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        return ml_collections.ConfigDict({"terms": ml_collections.ConfigDict(), "weights": ml_collections.ConfigDict()})

    def check(self, config: ml_collections.ConfigDict) -> None:
        for name, weight in self.config.weights.items():
            if not is_number(weight) or weight < 0:
                raise UserError(f"config.loss.weights.{name} = {weight!r}: must be a number ≥ 0")
        for name, term in self._terms.items():
            registry.check(term, config, f"loss.terms.{name}")

    @property
    def schedulable(self) -> tuple[str, ...]:
        own = (f"weights.{name}" for name in self._terms)
        return (*own, *(f"terms.{name}.{field}" for name, term in self._terms.items() for field in term.schedulable))

    @property
    def learns_from_text(self) -> bool:
        return any(term.learns_from_text for term in self._terms.values())

    @property
    def classes_needed_by(self) -> str:
        return next((needs for term in self._terms.values() if (needs := term.classes_needed_by)), "")

    @property
    def uses_class_pairs(self) -> bool:
        return any(term.uses_class_pairs for term in self._terms.values())

    def init(self, key, *, embedding_dim, num_classes):
        keys = jax.random.split(key, len(self._terms))
        drawn = {
            name: term.init(term_key, embedding_dim=embedding_dim, num_classes=num_classes)
            for (name, term), term_key in zip(self._terms.items(), keys, strict=True)
        }
        return {name: params for name, params in drawn.items() if params}

    def __call__(self, params, embeddings, batch, *, key):
        total, metrics = 0.0, {}
        for place, (name, term) in enumerate(self._terms.items()):
            loss, term_metrics = term(params.get(name, {}), embeddings, batch, key=jax.random.fold_in(key, place))
            total += self.config.weights[name] * loss
            metrics |= {f"{name}/{metric}": value for metric, value in ({"loss": loss} | term_metrics).items()}
        return total, {"loss": total} | metrics
