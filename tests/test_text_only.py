"""Recipes without photos: rows of training batches, and a gallery."""

import jax
import numpy as np
import pytest

from adamine_jax import embed, search
from adamine_jax.base.errors import UserError
from adamine_jax.config import set_loss, set_tower
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.plan import epoch_plan, with_text
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with_text")
    return tiny.write_dataset(folder / "data", {"train": 48, "val": 12, "test": 12, "text": 20})


def config_for(data, **fields):
    config = tiny.small_config(data, epochs=1, unfreeze_epoch=0, train__log_every_steps=1, **fields)
    if not config.data.image_features:
        set_tower(config, "image", "vit")  # no BatchNorm
        config.model.image.update({"depth": 1, "width": 16, "heads": 2, "mlp": 32, "patch": 16})
    set_tower(config, "recipe", "transformer")
    config.model.recipe.update({"width": 8, "depth": 1, "heads": 2, "words": 300, "line_tokens": 8, "max_lines": 4})
    config.model.recipe.part_embeddings = True
    set_loss(config, [("infonce", 1.0), ("parts", 0.5)])
    config.data.text_share = 0.25
    return config


def test_the_joined_index_has_the_records_of_both(data):
    dataset = open_dataset(data)
    train_index, text = dataset.index("train"), dataset.index("text")
    joined = train_index.joined(text)
    assert len(joined) == 68
    assert joined.ids.tolist() == train_index.ids.tolist() + text.ids.tolist()
    assert joined.first_photo[-1] == joined.first_photo[48] == len(joined.photo_ids)
    assert [joined.shards[number] for number in joined.shard[48:]] == [text.shards[number] for number in text.shard]


def test_every_recipe_is_used_before_one_is_repeated():
    labels = np.zeros(40, int)
    plans = [with_text(epoch_plan(labels, 0, epoch, 8), 40, 47, 0, epoch, 3) for epoch in range(4)]
    text = np.concatenate([plan[:, 8:].ravel() for plan in plans])
    assert set(text) == set(range(40, 47))
    assert all(len(set(text[at : at + 7])) == 7 for at in range(0, len(text) - 6, 7))
    assert all((plan[:, :8] < 40).all() for plan in plans)


@pytest.mark.slow
@pytest.mark.parametrize("image", ["features", "vit"])
def test_training_does_not_depend_on_the_number_of_devices(image, data, tmp_path):
    losses, fields = {}, {"model__dtype": "float64"}
    if image == "features":
        fields["data__image_features"] = str(tiny.write_image_features(data, tmp_path / "photos.npy"))
    with jax.enable_x64(True):
        for devices in (1, 4):
            config = config_for(data, **fields)
            train(config, tmp_path / str(devices), make_mesh(jax.devices()[:devices]))
            lines = read_metrics(tmp_path / str(devices) / "metrics.jsonl")
            losses[devices] = [line["loss"] for line in lines if line["split"] == "train"]
            assert len(losses[devices]) == 6
            assert all(line["damaged_records"] == 0 for line in lines if line["split"] == "train")
    np.testing.assert_allclose(losses[1], losses[4], rtol=1e-9)


def test_a_gallery_of_recipes_without_photos(data, tmp_path, monkeypatch, capsys):
    photos = str(tiny.write_image_features(data, tmp_path / "photos.npy"))
    train(config_for(data, data__image_features=photos), tmp_path / "run")
    out = tmp_path / "gallery"
    monkeypatch.setattr("sys.argv", ["embed", f"--workdir={tmp_path / 'run'}", "--split=text", f"--out={out}"])
    assert embed.main() == 0
    assert f"{out}: 20 recipes" in capsys.readouterr().out
    gallery = Gallery(out)
    assert len(gallery) == 20
    assert gallery.modalities == ("recipe",)
    title = gallery.item(3).title
    (tmp_path / "query.json").write_text(f'{{"title": "{title}"}}')
    query = [f"--workdir={tmp_path / 'run'}", f"--gallery={out}", f"--recipe={tmp_path / 'query.json'}"]
    monkeypatch.setattr("sys.argv", ["search", *query, "--in=recipes"])
    assert search.main() == 0
    assert "20" in capsys.readouterr().out
    assert workdir.load(tmp_path / "run").config.data.text_share == 0.25


def test_a_data_set_without_such_recipes_is_refused(tiny_data, tmp_path):
    with pytest.raises(UserError, match=r"has no split 'text'; convert the download with --without-photos"):
        train(config_for(tiny_data), tmp_path / "run")


def test_batch_norm_is_refused(data, tmp_path):
    config = config_for(data)
    set_tower(config, "image", "resnet")
    with pytest.raises(
        UserError, match=r"rows without photos would change the batch statistics of the image tower 'resnet'"
    ):
        train(config, tmp_path / "run")
