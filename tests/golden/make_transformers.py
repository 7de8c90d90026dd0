"""Writes transformers.npz: small random models of Hugging Face's transformers, their outputs and gradients.

    pip install torch==2.13.0 'transformers>=5,<6' safetensors
    python tests/golden/make_transformers.py

For each model: `config` (JSON), `tensors/NAME` as `save_pretrained` writes them, `gradients/NAME` of a weighted sum of
the outputs, the inputs, and the outputs. Parameters are random, so that no LayerNorm or LayerScale is the identity.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import transformers

SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
PHOTO = {"image_size": 8, "patch_size": 4}
DINO = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2, **PHOTO}
WORDS = 40
TEXT = {"vocab_size": WORDS, "max_position_embeddings": 12, **SMALL}
OTHER_SIZE = 12
LENGTHS = (7, 3, 12, 5)


def models():
    """Yields (name, model, function of pixels, function of tokens)."""
    t = transformers
    clip_text, siglip_text = {**TEXT, "eos_token_id": WORDS - 1}, TEXT
    naflex = {"num_patches": 4, "patch_size": 4, **SMALL}
    yield "vit", t.ViTModel(t.ViTConfig(**PHOTO, **SMALL)), first_token, None
    yield "deit", t.DeiTModel(t.DeiTConfig(**PHOTO, **SMALL)), first_token, None
    clip = t.CLIPConfig(vision_config={**PHOTO, **SMALL}, text_config=clip_text, projection_dim=6)
    yield "clip", t.CLIPModel(clip), clip_photo, clip_tokens
    siglip = t.SiglipConfig(vision_config={**PHOTO, **SMALL}, text_config=siglip_text)
    yield "siglip", t.SiglipModel(siglip), pooled_photo, pooled_tokens
    siglip2 = t.Siglip2Config(vision_config=naflex, text_config=siglip_text)
    yield "siglip2", t.Siglip2Model(siglip2), naflex_photo, pooled_tokens
    yield "dinov2", t.Dinov2Model(t.Dinov2Config(**DINO)), lambda m, x: m(x).pooler_output, None
    registers = t.Dinov2WithRegistersConfig(**DINO)
    yield "dinov2_with_registers", t.Dinov2WithRegistersModel(registers), lambda m, x: m(x).pooler_output, None
    yield "bert", t.BertModel(t.BertConfig(**TEXT)), None, bert_tokens


def first_token(model, pixels):
    return model(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]


def clip_photo(model, pixels):
    return model.visual_projection(model.vision_model(pixels, interpolate_pos_encoding=True).pooler_output)


def pooled_photo(model, pixels):
    return model.vision_model(pixels, interpolate_pos_encoding=True).pooler_output


def naflex_photo(model, pixels):
    count, grid = len(pixels), pixels.shape[-1] // 4
    patches = pixels.permute(0, 2, 3, 1).reshape(count, grid, 4, grid, 4, 3).permute(0, 1, 3, 2, 4, 5)
    mask, shapes = torch.ones(count, grid**2, dtype=torch.long), torch.tensor([[grid, grid]] * count)
    return model.vision_model(patches.reshape(count, grid**2, -1), mask, shapes).pooler_output


def clip_tokens(model, ids, mask):
    return model.text_projection(model.text_model(ids, attention_mask=mask).pooler_output)


def pooled_tokens(model, ids, mask):
    return model.text_model(ids).pooler_output


def bert_tokens(model, ids, mask):
    states = model(ids, attention_mask=mask).last_hidden_state
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def saved(model) -> tuple[dict[str, np.ndarray], str]:
    """Returns the tensors and the configuration as `save_pretrained` writes them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tensors = safetensors.torch.load_file(Path(folder) / "model.safetensors")
        config = json.loads((Path(folder) / "config.json").read_text())
    return {name: tensor.numpy() for name, tensor in tensors.items()}, json.dumps(config)


def gradients_of(model, outputs, weights) -> dict[str, np.ndarray]:
    """Returns the gradients of sum(outputs · weights) under the names of the file."""
    model.zero_grad()
    (outputs * weights).sum().backward()
    with torch.no_grad():
        values = [parameter.clone() for parameter in model.parameters()]
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        tensors = saved(model)[0]
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(value)
    return tensors


def main() -> None:
    transformers.logging.set_verbosity_error()
    generator, rng, arrays = torch.Generator().manual_seed(0), np.random.default_rng(0), {}
    for name, model, of_photo, of_tokens in models():
        model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        tensors, arrays[f"{name}/config"] = saved(model)
        arrays |= {f"{name}/tensors/{key}": tensor for key, tensor in tensors.items()}
        if of_photo:
            for size, key in ((PHOTO["image_size"], "photo"), (OTHER_SIZE, "other")):
                pixels = rng.standard_normal((2, size, size, 3)).astype(np.float32)
                outputs = of_photo(model, torch.tensor(pixels.transpose(0, 3, 1, 2)))
                arrays |= {f"{name}/{key}/pixels": pixels, f"{name}/{key}/outputs": outputs.detach().numpy()}
                if key == "photo":
                    weights = rng.standard_normal(outputs.shape).astype(np.float32)
                    found = gradients_of(model, outputs, torch.tensor(weights))
                    arrays |= {f"{name}/photo/gradients/{field}": grad for field, grad in found.items()}
                    arrays[f"{name}/photo/weights"] = weights
        if of_tokens:
            lengths = (12,) * 4 if name.startswith("siglip") else LENGTHS
            ids, mask = (np.zeros((len(lengths), 12), np.int64) for _ in range(2))
            for row, length in enumerate(lengths):
                ids[row, :length], mask[row, :length] = rng.integers(1, WORDS - 2, length), 1
                ids[row, length - 1] = WORDS - 1  # the end
            outputs = of_tokens(model, torch.tensor(ids), torch.tensor(mask))
            weights = rng.standard_normal(outputs.shape).astype(np.float32)
            found = gradients_of(model, outputs, torch.tensor(weights))
            arrays |= {f"{name}/text/ids": ids, f"{name}/text/lengths": np.array(lengths)}
            arrays |= {f"{name}/text/outputs": outputs.detach().numpy(), f"{name}/text/weights": weights}
            arrays |= {f"{name}/text/gradients/{field}": grad for field, grad in found.items()}
    np.savez_compressed(Path(__file__).with_name("transformers.npz"), **arrays)


if __name__ == "__main__":
    main()
