"""AdaMine's towers in idiomatic PyTorch, with NHWC convolutions and packed LSTMs.

An independent implementation from the papers, for benchmarks only.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride) and 1×1 convolutions, and a projection if the shape changes."""

    def __init__(self, inputs: int, features: int, stride: int):
        super().__init__()
        outputs = 4 * features
        self.layers = nn.Sequential(
            *_conv_norm(inputs, features, 1),
            nn.ReLU(inplace=True),
            *_conv_norm(features, features, 3, stride),
            nn.ReLU(inplace=True),
            *_conv_norm(features, outputs, 1),
        )
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(*_conv_norm(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.layers(x) + self.shortcut(x), inplace=True)


def _conv_norm(inputs: int, outputs: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)


class ResNet(nn.Module):
    """ResNet-50, 101 or 152 without its classifier: images (B, S, S, 3) in 0..255 → (B, 2048)."""

    def __init__(self, depth: int):
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD)[:, None, None])
        layers = [*_conv_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for stage, blocks in enumerate(BLOCKS[depth]):
            for i in range(blocks):
                layers.append(Bottleneck(inputs, 64 * 2**stage, 2 if stage and i == 0 else 1))
                inputs = 4 * 64 * 2**stage
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # (B, S, S, 3), permuted to (B, 3, S, S), already has the layout `channels_last`.
        return self.layers((images.permute(0, 3, 1, 2) - self.mean) / self.std).mean((2, 3))


class TextTower(nn.Module):
    """Embeds ingredients and instructions, as words: (B, embedding_dim), before tanh and normalisation.

    Sizes have the names of `config.model.recipe`.
    """

    def __init__(
        self,
        table_rows: int,
        *,
        word_dim: int,
        ingredient_hidden: int,
        sentence_hidden: int,
        instruction_hidden: int,
        embedding_dim: int,
    ):
        super().__init__()
        self.table = nn.Embedding(table_rows, word_dim, padding_idx=0)
        self.ingredients = nn.LSTM(word_dim, ingredient_hidden, batch_first=True, bidirectional=True)
        self.words = nn.LSTM(word_dim, sentence_hidden, batch_first=True)
        self.sentences = nn.LSTM(sentence_hidden, instruction_hidden, batch_first=True)
        self.fc = nn.Linear(2 * ingredient_hidden + instruction_hidden, embedding_dim)

    def forward(
        self, ingredients: torch.Tensor, words: torch.Tensor, num_sentences: torch.Tensor, lengths: "Lengths"
    ) -> torch.Tensor:
        """Embeds (B, N) ingredients and (B, S, W) words, padded with 0; `num_sentences` is (B,)."""
        is_real = torch.arange(words.shape[1], device=words.device) < num_sentences[:, None]
        real_sentences = words[is_real]
        vectors = _final_states(self.words, self.table(real_sentences), lengths.words)
        padded = vectors.new_zeros(*words.shape[:2], vectors.shape[1])
        padded = padded.masked_scatter(is_real[..., None], vectors)
        instructions = _final_states(self.sentences, padded, lengths.sentences)
        ingredients = _final_states(self.ingredients, self.table(ingredients), lengths.ingredients)
        return self.fc(torch.cat([ingredients, instructions], dim=1))


class Lengths:
    """Lengths of the non-empty sequences of a batch, on the CPU, as packing requires."""

    def __init__(self, ingredients: torch.Tensor, words: torch.Tensor, num_sentences: torch.Tensor):
        self.ingredients = (ingredients != 0).sum(1).cpu()
        self.sentences = num_sentences.cpu()
        self.words = (words != 0).sum(2).cpu()
        self.words = self.words[self.words > 0]


def _final_states(lstm: nn.LSTM, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    _, (hidden, _) = lstm(packed)
    return hidden.transpose(0, 1).flatten(1)


class AdaMine(nn.Module):
    """Both towers, each followed by tanh and normalisation."""

    def __init__(self, depth: int, text: TextTower):
        super().__init__()
        self.resnet = ResNet(depth)
        self.text = text
        self.fc = nn.Linear(2048, text.fc.out_features)

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return functional.normalize(torch.tanh(self.fc(self.resnet(images))))

    def embed_recipes(self, *fields) -> torch.Tensor:
        return functional.normalize(torch.tanh(self.text(*fields)))

    def forward(self, images: torch.Tensor, *fields) -> tuple[torch.Tensor, torch.Tensor]:
        return self.embed_images(images), self.embed_recipes(*fields)
