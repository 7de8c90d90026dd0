"""Scores by class and by length of the recipe, of a split that has been evaluated: `breakdown_<split>.json`."""

import json
from pathlib import Path

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.input.damage import Damage
from adamine_jax.input.reading import read_recipes
from adamine_jax.retrieval.breakdown import bin_of, break_down, by_bins, largest
from adamine_jax.retrieval.text_tables import format_breakdown
from adamine_jax.runs import workdir
from adamine_jax.runs.evaluation import Evaluated

BY = ("class", "ingredients", "sentences")
_FIELDS = {"ingredients": "ingredients", "sentences": "instructions"}  # of `RecipeText`


def parse_by(text: str) -> list[str]:
    """What to group by, of a flag's commas.

    Raises:
        UserError: there is something else among it.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(","))) if text else []
    for name in names:
        if name not in BY:
            raise UserError(
                f"--by {name!r}: takes class, ingredients or sentences, or several with commas between them"
            )
    return names


def write_breakdown(
    trained: workdir.Trained, directory: Path, split: str, found: Evaluated, by: list[str], damage: Damage
) -> None:
    """Prints the scores of each group and writes `breakdown_<split>.json`.

    The ranks are those of the largest protocol that was run, its draws pooled.

    Args:
        trained: the model.
        directory: the workdir.
        split: that was evaluated.
        found: its ranks, under one protocol at least.
        by: some of `BY`.
        damage: takes the records that can no longer be read, which are left out.
    """
    protocol = largest(found.ranked)
    assert protocol is not None, "one protocol at least was run"
    ranked, ids = found.ranked[protocol], [name.decode() for name in found.index.ids[found.numbers]]
    groups = _groups(trained, found, by, damage)
    broken_down = {name: break_down(ranked, ids, groups[name]) for name in by}
    for name in by:
        if name != "class":
            broken_down[name] = by_bins(broken_down[name])
    draws, pairs = ranked.ids.shape
    content = {"protocol": protocol, "draws": draws, "pairs": pairs, "step": trained.step, "by": broken_down}
    files.write_text(directory / f"breakdown_{split}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    of_draw, pooled = (" of its draw", f" in all {draws} draws together") if draws > 1 else ("", "")
    print(f"{split} split by {', '.join(by)}: ranks under {protocol}; recall in %, MedR from 1")
    print(f"each rank is among all {pairs:,} candidates{of_draw}, not within the group")
    print(f"n: queries of the group in each direction{pooled}\n")
    print(
        "\n\n".join(format_breakdown(rows, name) for name, rows in broken_down.items() if rows), end="\n\n", flush=True
    )


def _groups(trained: workdir.Trained, found: Evaluated, by: list[str], damage: Damage) -> dict[str, list[str | None]]:
    """The group of each row by each criterion; None for a record that `damage` takes."""
    groups = {name: [] for name in by}
    if "class" in by:
        names = trained.open_dataset().class_names
        groups["class"] = [names[number] for number in found.index.class_id[found.numbers]]
    if lengths := [name for name in by if name != "class"]:
        with Progress("counting ingredients and sentences", len(found.numbers), "recipe") as progress:
            for recipe in read_recipes(found.index, found.numbers, damage):
                for name in lengths:
                    groups[name].append(None if recipe is None else bin_of(len(getattr(recipe.text, _FIELDS[name]))))
                progress.update()
    return groups
