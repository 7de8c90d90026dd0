"""Files of pretrained models that cannot be used are refused in one line that names what is wrong."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from adamine_jax.base.errors import UserError
from adamine_jax.interop.huggingface import open_checkpoint
from adamine_jax.models.image.vit_tower import VisionTransformer, _form
from adamine_jax.models.image.vit_weights import read_vit
from adamine_jax.models.recipe import pretrained as text
from adamine_jax.models.recipe.text_weights import read_text
from tests import pretrained
from tests.pretrained import arrays_under, section_of, write_model


def loaded(tower, folder):
    section = section_of(tower, folder)
    if tower is VisionTransformer:
        return read_vit(open_checkpoint(folder), _form(section), 2)
    return read_text(open_checkpoint(folder), text._form(section))


def damaged(family, **changes):
    """Returns the tensors of a model, each function applied to the tensor whose name ends with its keyword."""
    tensors = arrays_under(family, "tensors/")
    for ending, change in changes.items():
        name = next(name for name in tensors if name.replace(".", "_").endswith(ending))
        tensors[name] = change(tensors[name])
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


@pytest.mark.parametrize(("tower", "family"), [(VisionTransformer, "clip"), (text.PretrainedText, "bert")])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensor: None, "is missing"),
        (lambda tensor: tensor[:-1], "instead of"),
        (lambda tensor: np.full_like(tensor, np.nan), "not finite"),
    ],
)
def test_every_faulty_tensor_is_named(tower, family, change, reason, tmp_path):
    last = "vision_model_encoder_layers_1_mlp_fc2_weight" if family == "clip" else "1_output_dense_weight"
    write_model(tmp_path, family, damaged(family, **{last: change}))
    with pytest.raises(UserError, match=rf"model.safetensors: not the weights of .*{reason}") as error:
        loaded(tower, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("tower", "family"), [(VisionTransformer, "dinov2"), (text.PretrainedText, "bert")])
def test_an_unexpected_tensor_is_named(tower, family, tmp_path):
    write_model(tmp_path, family, arrays_under(family, "tensors/") | {"adapter.weight": np.ones(3, np.float32)})
    with pytest.raises(UserError, match=r"adapter.weight is unexpected"):
        loaded(tower, tmp_path)


@pytest.mark.parametrize("tower", [VisionTransformer, text.PretrainedText])
def test_folders_that_are_no_model_are_refused(tower, tmp_path):
    with pytest.raises(UserError, match=r"contains no model.safetensors"):
        section_of(tower, tmp_path)
    with pytest.raises(UserError, match=r"absent: no such file"):
        section_of(tower, tmp_path / "absent")
    folder = write_model(tmp_path / "other", "bert", config={"model_type": "roberta"})
    with pytest.raises(UserError, match=r"model_type 'roberta' is not a .* that can be read; give one of "):
        section_of(tower, folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"config.json is missing; copy it beside model.safetensors"):
        section_of(tower, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json: not readable JSON"):
        section_of(tower, folder)


def test_a_file_that_ends_early_is_refused(tmp_path):
    folder = write_model(tmp_path / "model", "vit")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"model.safetensors: not a readable .safetensors file"):
        loaded(VisionTransformer, folder)


def test_weights_in_shards_and_with_the_prefix_of_parallel_training_are_read(tmp_path):
    expected = loaded(VisionTransformer, write_model(tmp_path / "whole", "vit"))
    folder = write_model(tmp_path / "parts", "vit")
    (folder / "model.safetensors").unlink()
    tensors = {f"module.{name}": tensor for name, tensor in arrays_under("vit", "tensors/").items()}
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        own = {name: tensor for name, tensor in tensors.items() if places[name] == file}
        safetensors.numpy.save_file(own, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    jax.tree.map(np.testing.assert_array_equal, loaded(VisionTransformer, folder), expected)


def test_the_tokenizer_of_another_vocabulary_is_refused(tmp_path):
    folder = write_model(tmp_path / "model", "bert")
    pretrained.write_tokenizer(folder / "tokenizer.json", size=60)
    section = section_of(text.PretrainedText, folder)
    with pytest.raises(UserError, match=r"has 60 tokens, the model knows 40; give the tokenizer.json of this model"):
        text.PretrainedText.fit(section, [])
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"contains no tokenizer.json"):
        text.PretrainedText.fit(section, [])


def test_a_text_encoder_with_too_few_positions_is_refused(tmp_path):
    section = text.PretrainedText.defaults()
    section.update({"weights": str(write_model(tmp_path, "bert")), "segment_tokens": 13})
    with pytest.raises(UserError, match=r"segment_tokens = 13: .* reads at most 12 tokens"):
        text.PretrainedText.complete(section)


def test_segments_without_room_for_text_are_refused(tmp_path):
    section = text.PretrainedText.defaults()
    section.update({"weights": str(write_model(tmp_path, "bert")), "segment_tokens": 2})
    text.PretrainedText.complete(section)
    with pytest.raises(UserError, match=r"segments of 2 tokens have no room for text"):
        text.PretrainedText.fit(section, [])
