"""How two published code bases name and arrange the tensors of a whole model."""

import dataclasses

RESNET_MODULES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
"""Torchvision's, of which `fc` is ImageNet's classifier."""


@dataclasses.dataclass(frozen=True)
class Names:
    """A code base's names; where there is one word it is that of a layer, whose tensors are `<name>.weight` and so on.

    Attributes:
        title: of the code base.
        entry: under which its checkpoints hold the state dict.
        resnet: its name of each of `RESNET_MODULES`.
        image_fc: the photo tower's linear layer.
        words: the word table.
        ingredient_lstm: bidirectional.
        instruction_lstm: over sentence vectors.
        recipe_fc: the recipe tower's linear layer.
        classifier: embeddings to classes; a file need not have it.
        instructions_first: whether `recipe_fc` reads the instructions before the ingredients; ours are behind them.
        lstm_over_padding: whether the LSTM over the sentences ran on to the end of the batch's longest recipe.
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
        """This code base's name of a tensor of the ResNet: `layer1.0.conv1.weight` to `visionMLP.4.0.conv1.weight`."""
        module, _, rest = name.partition(".")
        return f"{self.resnet[module]}.{rest}"

    def to_torchvision(self, name: str) -> str | None:
        """The inverse of `from_torchvision`; None for a tensor that is not of the ResNet."""
        for module, here in self.resnet.items():
            if name.startswith(f"{here}."):
                return module + name.removeprefix(here)
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

# Salvador et al., CVPR 2017, in PyTorch. The ResNet is a sequence of its modules, ReLU and pooling counted.
IM2RECIPE = Names(
    title="im2recipe",
    entry="state_dict",
    resnet={module: f"visionMLP.{place}" for module, place in zip(RESNET_MODULES, (0, 1, 4, 5, 6, 7, 9), strict=True)},
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
"""By what `import_weights --from` calls them."""
