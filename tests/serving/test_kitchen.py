"""On the page of a model that has memorized a small data set, a photo's own recipe comes first."""

import jax
import pytest
from playwright.sync_api import expect

import adamine_jax
from adamine_jax import embed
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.train import train
from configs import quickstart
from data_builders.kitchen.__main__ import main as cook
from data_builders.recipe1m.build import build
from data_builders.recipe1m.options import Options
from tests.servers import serving
from tests.serving.pages import CHROMIUM, choose, launched, titles

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def memorized(tmp_path_factory):
    """Trains on 20 dishes and builds the gallery of the train split."""
    folder = tmp_path_factory.mktemp("memorized")
    cook(["--out", str(folder / "download"), "--recipes", "30", "--photo-size", "96", "--seed", "3"])
    build(folder / "download", folder / "data", Options(word_dim=16, word_min_count=1), workers=1, overwrite=False)
    config = quickstart.get_config("adamine_ins")
    config.update_from_flattened_dict(
        {
            "data.dir": str(folder / "data"),
            "data.resize": 72,
            "data.image_size": 64,
            "batch_size": 16,
            "epochs": 120,
            "model.image.width": 8,
            "optim.decay_epochs": 80,
        }
    )
    train(config, folder / "run", make_mesh(jax.devices()[:1]))
    command = ["--workdir", str(folder / "run"), "--split", "train", "--out", str(folder / "gallery")]
    command += ["--checkpoint", "last"]  # the best one by validation has memorized less
    assert embed.main(command) == 0
    return folder


def test_the_right_recipe_comes_first(memorized):
    model = adamine_jax.load(memorized / "run", checkpoint="last", batch_sizes=(1,))
    gallery = adamine_jax.open_gallery(memorized / "gallery", model.digest)
    items = [gallery.item(row) for row in gallery.rows[:5]]
    with serving(model, gallery) as (address, _, _), launched() as browser:
        for item in items:
            page = browser.new_page(base_url=address, reduced_motion="reduce")
            page.goto("/")
            expect(page.locator(".example").first).to_be_visible()
            choose(page, item.photo.read_bytes(), "dish.jpg", "image/jpeg")
            assert titles(page)[0] == item.title
            page.close()
