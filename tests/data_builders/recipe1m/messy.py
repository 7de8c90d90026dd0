"""A download for the report: recipes and photos of many lengths and sizes, some of them duplicated."""

import io

import numpy as np
from PIL import Image

from tests.data_builders.recipe1m.download import Download, photo_id, recipe_id

NAMES = ("olive oil", "salt", "red onion", "egg", "brown sugar", "rare spice", "", "a | b", "lime")
WORDS = ("Stir", "bake", "the", "olive oil", "red onion", "slowly", "2", "and", "`code`", "a|b", "<b>", "crème")
PARTITIONS = ("train", "train", "train", "val", "test")


def messy(recipes: int = 90) -> Download:
    """Random recipes with different photos."""
    rng, download = np.random.default_rng(3), Download()

    def text(words: int) -> str:
        line = [WORDS[k] for k in rng.zipf(1.3, words) % len(WORDS)] + [f"w{rng.integers(500)}"] * int(words > 5)
        return " ".join(line) + "." * bool(words)

    for number in range(1, recipes + 1):
        lengths = rng.geometric(0.1, rng.integers(0, 22)) - 1
        partition = PARTITIONS[number % len(PARTITIONS)]
        identity = download.add(
            number,
            partition,
            photos=int(rng.integers(0, 7)),
            title=f"{('Apple pie', 'Onion soup', 'Stew')[number % 7 % 3]} no. {number}",
            ingredients=[{"text": f"{n} cups"} for n in rng.integers(1, 9, rng.integers(0, 12))],
            instructions=[{"text": text(length)} for length in [*lengths, *[70] * (number % 9 == 0)]],
        )
        names = rng.choice(NAMES, rng.integers(0, 8)).tolist()
        if number % 10 == 0:
            names += [f"thing {number}", f"thing {number // 20}"]
        download.detect(identity, names, rng.random(len(names)) < 0.7)
    for record in download.detected:
        record["valid"] = [bool(sure) for sure in record["valid"]]
    for row, key in enumerate(download.photos):
        download.photos[key] = _photo(row, rng)
    _plant(download)
    return download


def _photo(row: int, rng: np.random.Generator) -> bytes:
    """Noise of a random size in one of several file formats, sometimes rotated or damaged."""
    width, height = rng.integers(20, 90, 2).tolist()
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    kind, options = "PNG" if row % 17 == 5 else "GIF" if row % 29 == 7 else "JPEG", {}
    if row % 6 == 0 and kind == "JPEG":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6  # to be turned a quarter: width becomes height
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()[: 300 if row % 23 == 4 else None]


def _plant(download: Download) -> None:
    """Copies photos and texts, within partitions and across them."""
    keys = list(download.photos)
    by_place = {name: [key for key in keys if key[0] == name] for name in ("train", "val", "test")}
    train, val, test = by_place.values()
    for k in range(0, 60, 10):  # not all of them are used in the end
        n = k // 3
        copies = [(train[k], train[k + 3]), (train[k + 1], val[n]), (train[k + 2], test[n])]
        copies += [(val[n + 1], test[n + 1]), (train[k + 4], val[n + 2]), (train[k + 4], test[n + 2])]
        for source, copy in copies:
            download.photos[copy] = download.photos[source]
    # One pixel apart: not the same.
    pixels = np.asarray(Image.open(io.BytesIO(download.photos[train[30]])).convert("RGB")).copy()
    for value, key in ((10, train[31]), (200, test[20])):
        pixels[5, 5] = value
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        download.photos[key] = file.getvalue()
    texts = ("title", "ingredients", "instructions")
    records = {record["id"]: record for record in download.layer1}
    for source, copy in ((1, 3), (1, 6), (2, 4), (5, 10), (7, 9)):
        one, other = records[recipe_id(source)], records[recipe_id(copy)]
        for name in texts:
            one[name] = [{"text": "Stir."}] if name == "instructions" else one[name]
            other[name] = one[name]
        for number in (source, copy):  # so that both are kept
            identity, photo = recipe_id(number), photo_id(number * 100 + 50)
            partition = records[identity]["partition"]
            download.layer2 = [record for record in download.layer2 if record["id"] != identity]
            download.layer2.append({"id": identity, "images": [{"id": photo, "url": ""}]})
            download.photos[partition, photo] = _photo(1, np.random.default_rng(number))
    records[recipe_id(3)]["title"] = records[recipe_id(3)]["title"].upper() + " "
    records[recipe_id(9)]["instructions"] = [{"text": "Stir!"}]  # nearly the same: not the same
