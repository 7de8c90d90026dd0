"""Names and layouts of the tensors of a whole model in two published code bases."""

import dataclasses

RESNET_MODULES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
"""Torchvision's names; `fc` is the ImageNet classifier."""


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of a code base; a layer `name` has the tensors `name.weight`, `name.bias` and so on.

    Attributes:
        title: Name of the code base.
        entry: Key of the state dict in its checkpoints.
        resnet: Name of each of `RESNET_MODULES`.
        image_fc: Linear layer of the image tower.
        words: Word table.
        ingredient_lstm: Bidirectional LSTM over ingredients.
        instruction_lstm: LSTM over sentence vectors.
        recipe_fc: Linear layer of the recipe tower.
        classifier: Linear layer from embeddings to classes, which is optional.
        instructions_first: Whether the input of `recipe_fc` starts with the instructions; ours starts with the
            ingredients.
        lstm_over_padding: Whether the LSTM over sentences reads the padding up to the longest recipe of the batch.
    """

    title: str
    entry: str
    resnet: dict[str, str]
    image_fc: str
    words: str
    ingredient_lstm: str
    instruction_lstm: str
    recipe_fc: str
    classifier: str
    instructions_first: bool
    lstm_over_padding: bool

    def from_torchvision(self, name: str) -> str:
        """Returns this code base's name of a ResNet tensor: `layer1.0.conv1.weight` -> `visionMLP.4.0.conv1.weight`."""
        module, _, rest = name.partition(".")
        return f"{self.resnet[module]}.{rest}"

    def to_torchvision(self, name: str) -> str | None:
        """Inverts `from_torchvision`; None for a tensor outside the ResNet."""
        for module, prefix in self.resnet.items():
            if name.startswith(f"{prefix}."):
                return module + name.removeprefix(prefix)
        return None


# Carvalho et al., SIGIR 2018.
ADAMINE = Names(
    title="AdaMine",
    entry="network",
    resnet={module: f"image_embedding.convnet.resnet.{module}" for module in RESNET_MODULES},
    image_fc="image_embedding.fc",
    words="recipe_embedding.emb_ingrs",
    ingredient_lstm="recipe_embedding.rnn_ingrs",
    instruction_lstm="recipe_embedding.rnn_instrs",
    recipe_fc="recipe_embedding.fc",
    classifier="linear_classif",
    instructions_first=False,
    lstm_over_padding=True,
)

# Salvador et al., CVPR 2017, in PyTorch. The ResNet is an nn.Sequential, which also counts ReLU and pooling.
IM2RECIPE = Names(
    title="im2recipe",
    entry="state_dict",
    resnet={module: f"visionMLP.{index}" for module, index in zip(RESNET_MODULES, (0, 1, 4, 5, 6, 7, 9), strict=True)},
    image_fc="visual_embedding.0",
    words="ingRNN_.embs",
    ingredient_lstm="ingRNN_.irnn",
    instruction_lstm="stRNN_.lstm",
    recipe_fc="recipe_embedding.0",
    classifier="semantic_branch",
    instructions_first=True,
    lstm_over_padding=False,
)

PUBLISHED = {"adamine": ADAMINE, "im2recipe": IM2RECIPE}
"""Code bases by their name in `import_weights --from`."""
