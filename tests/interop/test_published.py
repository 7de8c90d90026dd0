"""Whole models in the names of two published code bases: their embeddings, and errors for unsuitable files."""

import jax
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.interop.published_names import PUBLISHED
from adamine_jax.models import published
from adamine_jax.models.adamine import AdaMine
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.resnet_tower import ResNetTower
from adamine_jax.models.recipe.hierarchical_lstm import HierarchicalLSTM
from tests.golden import make_resnet
from tests.interop import published_code
from tests.interop.published_code import SMALL, STATES

SOURCES = list(STATES)


def build(source, **sizes):
    sizes = SMALL | sizes
    tower = HierarchicalLSTM(
        embedding_dim=sizes["dim"],
        table_rows=sizes["rows"],
        instructions="vectors",
        word_dim=sizes["word_dim"],
        ingredient_hidden=sizes["ingredients"],
        instruction_hidden=sizes["instructions"],
        instruction_lstm_over_padding=PUBLISHED[source].lstm_over_padding,
    )
    return AdaMine(ResNetTower(sizes["dim"], sizes["depth"], sizes["width"]), tower)


def embed_recipes(model, params, batch):
    return jax.jit(lambda params, batch: model.apply({"params": params}, batch, method="embed_recipes"))(params, batch)


@pytest.mark.parametrize("source", SOURCES)
def test_recipes_are_embedded_as_by_the_published_code(source):
    state = STATES[source]()
    params = published.from_state_dict(state, PUBLISHED[source]).variables["params"]
    batch = published_code.recipes(SMALL["rows"], SMALL["sentence_dim"])
    expected = published_code.recipe_embeddings(source, state, batch)
    np.testing.assert_allclose(embed_recipes(build(source), params, batch), expected, atol=2e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_the_image_tower_is_a_torchvision_resnet_and_a_linear_layer(source):
    state = STATES[source]()
    model = published.from_state_dict(state, PUBLISHED[source])
    assert (model.depth, model.width) == (18, 2)
    expected = torchvision.from_state_dict(make_resnet.random_state(18, 2)).variables
    for collection in ("params", "batch_stats"):
        ours = model.variables[collection]["image_tower"]["resnet"]
        jax.tree.map(np.testing.assert_array_equal, ours, expected[collection])
    fc = {"adamine": "image_embedding.fc", "im2recipe": "visual_embedding.0"}[source]
    np.testing.assert_array_equal(model.variables["params"]["image_tower"]["fc"]["kernel"], state[f"{fc}.weight"].T)


def test_a_classifier_is_imported_if_present():
    assert (
        "classifier"
        not in published.from_state_dict(STATES["adamine"](classes=0), PUBLISHED["adamine"]).variables["params"]
    )
    for source, name in (("adamine", "linear_classif"), ("im2recipe", "semantic_branch")):
        state = STATES[source]()
        classifier = published.from_state_dict(state, PUBLISHED[source]).variables["params"]["classifier"]
        np.testing.assert_array_equal(classifier["kernel"], state[f"{name}.weight"].T)
        np.testing.assert_array_equal(classifier["bias"], state[f"{name}.bias"])


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"module.{name}",
        lambda name: name.replace("image_embedding.", "image_embedding.module."),
        lambda name: name.replace("convnet.", "convnet.module."),
    ],
)
def test_module_may_occur_anywhere_in_a_name(rename):
    state = STATES["adamine"]()
    wrapped = {rename(name): array for name, array in state.items()}
    models = [published.from_state_dict(tensors, PUBLISHED["adamine"]) for tensors in (state, wrapped)]
    jax.tree.map(np.testing.assert_array_equal, *(model.variables for model in models))
    assert models[1].dropped == tuple(f"image_embedding.convnet.resnet.fc.{leaf}" for leaf in ("weight", "bias"))


def test_a_name_with_and_without_module_is_refused():
    state = STATES["adamine"]()
    state["module.image_embedding.fc.bias"] = state["image_embedding.fc.bias"]
    with pytest.raises(UserError, match=r"contains image_embedding\.fc\.bias twice"):
        published.from_state_dict(state, PUBLISHED["adamine"])


def test_faults_are_named_as_in_the_file():
    state = STATES["im2recipe"]()
    del state["ingRNN_.irnn.bias_hh_l0_reverse"], state["visionMLP.module.4.0.conv1.weight"]
    state["stRNN_.lstm.weight_ih_l1"] = np.zeros((12, 3), np.float32)
    state["visionMLP.module.7.9.weight"] = np.zeros(1, np.float32)
    state["recipe_embedding.0.weight"] = state["recipe_embedding.0.weight"][:, 1:]
    state["ingRNN_.embs.weight"][3, 2] = np.inf
    state["semantic_branch.bias"] = np.zeros(4, np.float32)
    with pytest.raises(UserError) as error:
        published.from_state_dict(state, PUBLISHED["im2recipe"], where="m.pth.tar")
    message = str(error.value)
    assert message.startswith("m.pth.tar: its blocks match none of ResNet-10")
    del state["visionMLP.module.7.9.weight"]
    with pytest.raises(UserError) as error:
        published.from_state_dict(state, PUBLISHED["im2recipe"], where="m.pth.tar")
    assert str(error.value) == (
        "m.pth.tar: not a model of im2recipe: visionMLP.4.0.conv1.weight is missing, ingRNN_.irnn.bias_hh_l0_reverse "
        "is missing, stRNN_.lstm.weight_ih_l1 is unexpected, ingRNN_.embs.weight has values that are not finite, "
        "recipe_embedding.0.weight is 7×10 instead of 7×11, semantic_branch.bias is 4 instead of 5"
    )


def test_sizes_that_cannot_be_inferred_are_shown_as_unknown():
    state = STATES["adamine"]()
    del state["recipe_embedding.rnn_instrs.weight_hh_l0"]
    state["recipe_embedding.rnn_instrs.bias_ih_l0"] = np.zeros((12, 1), np.float32)
    with pytest.raises(UserError, match=r"weight_hh_l0 is missing, \S+bias_ih_l0 is 12×1 instead of \?$"):
        published.from_state_dict(state, PUBLISHED["adamine"])


@pytest.mark.parametrize("name", [name for name in STATES["adamine"]() if ".convnet." not in name])
def test_a_missing_tensor_is_named(name):
    state = STATES["adamine"]()
    del state[name]
    with pytest.raises(UserError, match=f": {name} is missing"):
        published.from_state_dict(state, PUBLISHED["adamine"])


@pytest.mark.parametrize(
    ("state", "source", "message"),
    [
        (STATES["im2recipe"], "adamine", "has the names of im2recipe, not of AdaMine; give --from im2recipe"),
        (STATES["adamine"], "im2recipe", "has the names of AdaMine, not of im2recipe; give --from adamine"),
        (lambda: make_resnet.random_state(18, 2), "adamine", "contains only a ResNet; give --from torchvision"),
        (lambda: {"a": np.zeros(1)}, "im2recipe", r"no visionMLP.0.weight among its 1 tensors"),
    ],
)
def test_files_of_other_models_are_refused(state, source, message):
    with pytest.raises(UserError, match=message):
        published.from_state_dict(state(), PUBLISHED[source])


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_a_full_checkpoint_embeds_as_in_pytorch(tmp_path, source):
    torch = pytest.importorskip("torch")
    sizes = {
        "depth": 50,
        "width": 64,
        "rows": 50,
        "word_dim": 300,
        "ingredients": 300,
        "sentence_dim": 1024,
        "instructions": 1024,
        "dim": 1024,
        "classes": 1048,
    }
    state = STATES[source](**sizes)
    path = tmp_path / "model.pth.tar"
    tensors = {name: torch.tensor(array) for name, array in state.items()}
    torch.save({"epoch": 1, {"adamine": "network", "im2recipe": "state_dict"}[source]: tensors}, path)

    photos = np.random.default_rng(2).integers(0, 256, (2, 224, 224, 3), np.uint8)
    batch = published_code.recipes(sizes["rows"], sizes["sentence_dim"], count=2)
    tensors = {name.replace("module.", ""): tensor for name, tensor in tensors.items()}
    with torch.no_grad():
        expected_image = torch_images(torch, source, tensors, photos)
        expected_recipe = torch_recipes(torch, source, tensors, batch)

    model = build(source, **sizes)
    variables = published.read_published(path, PUBLISHED[source]).variables
    image = jax.jit(lambda v, x: model.apply(v, x, train=False, method="embed_images"))(variables, photos)
    recipe = embed_recipes(model, variables["params"], batch)
    np.testing.assert_allclose(image, expected_image, atol=1e-5)
    np.testing.assert_allclose(recipe, expected_recipe, atol=1e-5)


def torch_images(torch, source, tensors, photos):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.tensor(photos) / 255 - mean) / std).permute(0, 3, 1, 2)
    if source == "adamine":
        prefix, fc = "image_embedding.convnet.resnet.", "image_embedding.fc"
        resnet = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    else:
        modules, fc = {place: module for module, place in published_code.PLACES.items()}, "visual_embedding.0"
        parts = [name.split(".", 2) for name in tensors if name.startswith("visionMLP.")]
        resnet = {f"{modules[place]}.{rest}": tensors[f"visionMLP.{place}.{rest}"] for _, place, rest in parts}
    features = make_resnet.torch_features(resnet, x, 50, train=False)
    return head(torch, features @ tensors[f"{fc}.weight"].T + tensors[f"{fc}.bias"])


def torch_recipes(torch, source, tensors, batch):
    names = {
        "adamine": [f"recipe_embedding.{name}" for name in ("emb_ingrs", "rnn_ingrs", "rnn_instrs", "fc")],
        "im2recipe": ["ingRNN_.embs", "ingRNN_.irnn", "stRNN_.lstm", "recipe_embedding.0"],
    }[source]
    words, ingredient_lstm, instruction_lstm, fc = names

    def lstm(name, bidirectional):
        weights = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(name)}
        gates, inputs = weights["weight_ih_l0"].shape
        module = torch.nn.LSTM(inputs, gates // 4, batch_first=True, bidirectional=bidirectional)
        module.load_state_dict(weights)
        return module

    def packed(steps, lengths):
        return torch.nn.utils.rnn.pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)

    ids = torch.tensor(batch["ingredients"]).long()
    _, (state, _) = lstm(ingredient_lstm, True)(packed(tensors[f"{words}.weight"][ids], (ids != 0).sum(1)))
    ingredients = torch.cat([state[0], state[1]], 1)
    vectors, lengths = torch.tensor(batch["sentence_vectors"]), torch.tensor(batch["num_sentences"])
    steps = vectors[:, : lengths.max()] if source == "adamine" else packed(vectors, lengths)
    _, (state, _) = lstm(instruction_lstm, False)(steps)
    parts = [ingredients, state[0]] if source == "adamine" else [state[0], ingredients]
    return head(torch, torch.cat(parts, 1) @ tensors[f"{fc}.weight"].T + tensors[f"{fc}.bias"])


def head(torch, x):
    return torch.nn.functional.normalize(torch.tanh(x)).numpy()
