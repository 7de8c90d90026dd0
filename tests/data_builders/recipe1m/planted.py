"""A download with recipes on both sides of each filter rule, and the command that builds it."""

from data_builders.recipe1m.__main__ import main
from tests.data_builders.recipe1m.download import Download, photo_id, recipe_id

# Small word vectors, so that a build takes no time.
FEW_WORDS = ("--word-min-count", "1", "--word-dim", "8", "--word-epochs", "1")


def planted() -> Download:
    """Recipes on both sides of each filter rule."""
    download = Download()
    download.add(1, title="Apple pie", photos=3)
    download.add(2, title="Apple pie again", instructions=[{"text": "Stir."}] * 19)
    download.add(3, title="Plain 'pie'")
    download.add(4, photos=7)
    download.add(5, "val", title="My apple pie")
    download.add(6, "test", title="Apple pies", instructions=[])
    download.add(7, instructions=[{"text": "Stir."}] * 20)
    download.add(8)
    download.add(9, photos=0)
    download.add(10, photos=2)
    download.add(11)
    download.add(12, title="  crème \t brûlée ☕ ")
    many = [f"thing {n}" for n in range(19)]
    download.detect(recipe_id(4), [*many[:18], many[0]])  # 18 ingredients and the end mark: kept
    download.detect(recipe_id(8), many)
    download.detect(recipe_id(12), [])
    download.removed = [recipe_id(12), recipe_id(11)]
    download.photos["train", photo_id(1000)] = b"<html>"
    del download.photos["train", photo_id(1001)]
    download.photos["train", photo_id(101)] = download.photos["train", photo_id(101)][:200]
    download.layer1.append(download.layer1[0] | {"title": "again"})
    download.layer1.append({"id": "../../etc/", "title": "escape"})
    return download


def run(*arguments) -> int:
    """Runs `python -m data_builders.recipe1m` and returns its exit status."""
    return main([str(argument) for argument in arguments])
