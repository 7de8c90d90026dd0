"""Pretrained transformers have the outputs and gradients of Hugging Face's, and bad files are refused in one line."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from adamine_jax.interop.huggingface import open_checkpoint
from adamine_jax.models.base import Shared
from adamine_jax.models.image.vit import ViT
from adamine_jax.models.image.vit_tower import VisionTransformer, _form
from adamine_jax.models.image.vit_weights import read_vit
from adamine_jax.models.recipe import pretrained as text
from adamine_jax.models.recipe.segments import pad_segments
from adamine_jax.models.recipe.text_transformer import TextTransformer, encode_rows
from adamine_jax.models.recipe.text_weights import read_text
from adamine_jax.models.transformer import Layers, Transformer
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import Tokens
from adamine_jax.training import optimizer
from tests import pretrained
from tests.pretrained import arrays_under, golden, section_of, write_model

pytestmark = pytest.mark.usefixtures("highest_precision")


@pytest.fixture
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


def assert_close(ours, expected, share):
    assert ours.shape == expected.shape
    assert np.max(np.abs(ours - expected)) <= share * np.max(np.abs(expected))


def gradients_close(ours, expected):
    """Compares each leaf to 1e-4 of the largest gradient of the model."""
    largest = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * largest), ours, expected)


@pytest.mark.parametrize("family", pretrained.PHOTO_FAMILIES)
def test_a_vision_transformer_computes_what_the_published_one_does(family, tmp_path):
    form = _form(section_of(VisionTransformer, write_model(tmp_path / "model", family)))
    checkpoint = open_checkpoint(tmp_path / "model")
    for key, grid in (("photo", 2), ("other", 3)):
        pixels, expected = golden(family)[f"{key}/pixels"], golden(family)[f"{key}/outputs"]
        for remat in (False, True):
            outputs = jax.jit(ViT(form, remat).apply)({"params": read_vit(checkpoint, form, grid)}, pixels)
            assert_close(np.asarray(outputs), expected, 1e-5)


@pytest.mark.parametrize("family", pretrained.PHOTO_FAMILIES)
def test_its_gradients_are_those_of_the_published_one(family, tmp_path):
    form = _form(section_of(VisionTransformer, write_model(tmp_path / "model", family)))
    params = read_vit(open_checkpoint(tmp_path / "model"), form, 2)
    pixels, weights = golden(family)["photo/pixels"], golden(family)["photo/weights"]
    ours = jax.jit(jax.grad(lambda params: (ViT(form).apply({"params": params}, pixels) * weights).sum()))(params)
    write_model(tmp_path / "gradients", family, arrays_under(family, "photo/gradients/"))
    gradients_close(ours, read_vit(open_checkpoint(tmp_path / "gradients"), form, 2))


def rows_of(family):
    """Two recipes with two segments each, and where the segments of the golden file are."""
    ids, lengths = golden(family)["text/ids"], golden(family)["text/lengths"]
    segments = [(0, row[:length].tolist()) for row, length in zip(ids, lengths, strict=True)]
    batch = pad_segments([Tokens.of(segments[:2]), Tokens.of(segments[2:])], [0], 30, 3)
    return batch["segments"], batch["tokens"]


@pytest.mark.parametrize("family", pretrained.TEXT_FAMILIES)
def test_a_text_encoder_computes_what_the_published_one_does(family, tmp_path):
    form = text._form(section_of(text.PretrainedText, write_model(tmp_path / "model", family)))
    params = {"params": read_text(open_checkpoint(tmp_path / "model"), form)}
    segments, tokens = rows_of(family)
    expected = golden(family)["text/outputs"]
    vectors = np.asarray(jax.jit(TextTransformer(form, 3).apply)(params, segments, tokens))
    assert_close(vectors[:, :2].reshape(expected.shape), expected, 1e-5)
    assert not vectors[:, 2].any()


@pytest.mark.parametrize("family", pretrained.TEXT_FAMILIES)
def test_its_gradients_too_alone_and_in_groups_of_similar_length(family, tmp_path):
    form = text._form(section_of(text.PretrainedText, write_model(tmp_path / "model", family)))
    params = read_text(open_checkpoint(tmp_path / "model"), form)
    found = arrays_under(family, "text/gradients/")
    if family == "bert":  # our positions contain the vector of type 0, whose gradient is that of all positions
        found["embeddings.token_type_embeddings.weight"] = np.zeros((2, form.layers.width), np.float32)
    write_model(tmp_path / "gradients", family, found)
    expected = read_text(open_checkpoint(tmp_path / "gradients"), form)
    segments, tokens = rows_of(family)
    weights = golden(family)["text/weights"].reshape(2, 2, -1)
    encoder = TextTransformer(form, 2)

    def plain(params):
        return (encoder.apply({"params": params}, segments, tokens) * weights).sum()

    def grouped(params):
        bound = encoder.bind({"params": params})
        return (encode_rows(bound, jax.numpy.asarray(segments), jax.numpy.asarray(tokens)) * weights).sum()

    for function in (plain, grouped):
        gradients_close(jax.jit(jax.grad(function))(params), expected)


def test_open_clip_names_the_same_tensors_differently(tmp_path):
    """open_clip's file of a model gives the parameters of Hugging Face's."""
    source = write_model(tmp_path / "hf", "clip", config=clip_config(activation="gelu"))
    tensors = open_clip_tensors(arrays_under("clip", "tensors/"))
    (tmp_path / "open").mkdir()
    safetensors.numpy.save_file(tensors, tmp_path / "open" / "open_clip_model.safetensors")
    vision = {"width": 8, "layers": 2, "head_width": 4, "patch_size": 4, "image_size": 8, "mlp_ratio": 1.5}
    words = {"width": 8, "layers": 2, "heads": 2, "vocab_size": 40, "context_length": 12}
    config = {"model_cfg": {"embed_dim": 6, "vision_cfg": vision, "text_cfg": words}}
    (tmp_path / "open" / "open_clip_config.json").write_text(json.dumps(config))
    ours, expected = (section_of(VisionTransformer, folder) for folder in (tmp_path / "open", source))
    assert _form(ours) == _form(expected)
    trees = [read_vit(open_checkpoint(folder), _form(expected), 2) for folder in (tmp_path / "open", source)]
    jax.tree.map(np.testing.assert_array_equal, *trees)
    texts = [section_of(text.PretrainedText, folder) for folder in (tmp_path / "open", source)]
    texts[0].mlp = texts[1].mlp  # open_clip's is always four times the width
    assert text._form(texts[0]) == text._form(texts[1])
    trees = [read_text(open_checkpoint(folder), text._form(texts[1])) for folder in (tmp_path / "open", source)]
    jax.tree.map(np.testing.assert_array_equal, *trees)


def clip_config(activation):
    config = json.loads(str(golden("clip")["config"]))
    return {part: config[part] | {"hidden_act": activation} for part in ("vision_config", "text_config")}


def open_clip_tensors(tensors):
    """Renames Hugging Face's tensors of a CLIP to open_clip's."""
    renamed = {
        "visual.conv1.weight": tensors["vision_model.embeddings.patch_embedding.weight"],
        "visual.class_embedding": tensors["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": tensors["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": tensors["visual_projection.weight"].T,
        "text_projection": tensors["text_projection.weight"].T,
        "token_embedding.weight": tensors["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": tensors["text_model.embeddings.position_embedding.weight"],
        "logit_scale": np.ones((), np.float32),
    }
    norms = {"pre_layrnorm": "visual.ln_pre", "post_layernorm": "visual.ln_post"}
    names = [(f"vision_model.{theirs}", ours) for theirs, ours in norms.items()]
    names.append(("text_model.final_layer_norm", "ln_final"))
    layer = {"layer_norm1": "ln_1", "self_attn.out_proj": "attn.out_proj", "layer_norm2": "ln_2"}
    layer |= {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for side, ours in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
        for number in (0, 1):
            theirs, block = f"{side}.encoder.layers.{number}", f"{ours}.resblocks.{number}"
            names += [(f"{theirs}.{old}", f"{block}.{new}") for old, new in layer.items()]
            for field in ("weight", "bias"):
                parts = [tensors[f"{theirs}.self_attn.{part}_proj.{field}"] for part in "qkv"]
                renamed[f"{block}.attn.in_proj_{field}"] = np.concatenate(parts)
    renamed |= {f"{new}.{field}": tensors[f"{old}.{field}"] for old, new in names for field in ("weight", "bias")}
    return {name: np.ascontiguousarray(tensor) for name, tensor in renamed.items()}


def test_photos_are_normalised_as_the_model_says(tmp_path):
    folder = write_model(tmp_path, "vit")
    rules = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(rules))
    section = section_of(VisionTransformer, folder)
    assert (section.mean, section.std, section.resample) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    tower = VisionTransformer.build(section, Shared(0, 0))
    params = read_vit(open_checkpoint(folder), tower.form, 2)
    ours = jax.jit(tower.apply)({"params": {"vit": params}}, pixels)
    normalised = ((pixels / 255 - rules["image_mean"]) / rules["image_std"]).astype(np.float32)
    expected = jax.jit(ViT(tower.form).apply)({"params": params}, normalised)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["clip", "bert"])
def test_bfloat16_is_close_to_float32(family, tmp_path):
    folder = write_model(tmp_path, family)
    if family == "clip":
        form = _form(section_of(VisionTransformer, folder))
        params, pixels = {"params": read_vit(open_checkpoint(folder), form, 2)}, golden(family)["photo/pixels"]
        exact, rounded = (jax.jit(ViT(form, dtype=dtype).apply)(params, pixels) for dtype in ("float32", "bfloat16"))
    else:
        form = text._form(section_of(text.PretrainedText, folder))
        params = {"params": read_text(open_checkpoint(folder), form)}
        exact, rounded = (
            jax.jit(TextTransformer(form, 3, dtype=dtype).apply)(params, *rows_of(family))
            for dtype in ("float32", "bfloat16")
        )
    assert rounded.dtype == np.float32
    assert 0 < np.max(np.abs(rounded - exact)) < 0.1 * np.max(np.abs(exact))


@pytest.mark.parametrize("fusion", ["mean", "transformer"])
def test_parts_are_fused_with_equal_weights_whatever_is_missing(fusion, tmp_path):
    section = section_of(text.PretrainedText, write_model(tmp_path, "bert"))
    section.update({"fusion": fusion, "vocabulary": str(tmp_path / "tokenizer.json"), "max_tokens": 40})
    tower = text.PretrainedText.build(section, Shared(0, 0))
    words = " ".join(f"word{number}" for number in range(15))
    recipes = [
        RecipeText("word1", ("word2",), (words,)),  # four segments
        RecipeText("word1", ("word2",)),
        RecipeText("word1"),
        RecipeText("", (), (words,)),
        RecipeText(),
    ]
    encoded = [EncodedRecipe(text=lambda recipe=recipe: recipe) for recipe in recipes]
    batch = text.PretrainedText.make_batch(section, encoded)
    variables = jax.jit(tower.init)(jax.random.key(0), batch)
    apply = jax.jit(tower.apply)
    rows = np.asarray(apply(variables, batch))
    for recipe, row in zip(encoded, rows, strict=True):
        alone = apply(variables, text.PretrainedText.make_batch(section, [recipe]))
        np.testing.assert_allclose(alone[0], row, atol=1e-5)
    if fusion == "mean":
        ingredients = text.PretrainedText.make_batch(section, [EncodedRecipe(text=lambda: RecipeText("", ("word2",)))])
        parts = [rows[2], np.asarray(apply(variables, ingredients))[0], rows[3]]
        np.testing.assert_allclose(rows[0], np.mean(parts, axis=0), atol=1e-5)
        np.testing.assert_allclose(rows[1], np.mean(parts[:2], axis=0), atol=1e-5)
        assert not rows[4].any()


def test_what_a_recipe_tower_cuts_is_reported(tmp_path):
    section = section_of(text.PretrainedText, write_model(tmp_path, "bert"))
    section.update({"vocabulary": str(tmp_path / "tokenizer.json"), "max_tokens": 8})
    recipes = [RecipeText("word1 word2"), RecipeText("word1", (), ("word2 word3 word4 word5",))]
    encoded = [EncodedRecipe(text=lambda recipe=recipe: recipe) for recipe in recipes]
    assert text.PretrainedText.unread(section, encoded[:1]) == ""
    line = text.PretrainedText.unread(section, encoded)
    assert "does not read 7.7 % of the tokens of 2 train recipes, which affects 1 of them" in line  # 1 of 4 + 3 + 6


def test_weight_decay_spares_the_biases_and_norms_of_stacked_layers():
    params = Transformer(Layers(8, 2, 2, 12, layer_scale=True)).init(jax.random.key(0), np.zeros((1, 3, 8)))["params"]
    decayed = {path[-1].key for path, leaf in jax.tree.leaves_with_path(params) if optimizer._is_decayed(path, leaf)}
    assert decayed == {"qkv_kernel", "out_kernel", "up_kernel", "down_kernel"}
