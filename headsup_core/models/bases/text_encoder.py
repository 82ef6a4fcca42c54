"""CLIP text states for Stable Diffusion 2: loaded for one prompt, cached by content, then freed."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..file_formats.weights_files import WeightsFile, load_network

TOKENS = 77
MOST_KEPT = 256
"""Prompts whose states are kept: 0.3 MB each."""
MERGES = Path(__file__).parent / "clip_vocabulary" / "merges.txt.gz"
PADDING_TOKEN = "!"  # noqa: S105 - Stable Diffusion 2 pads with token 0, which is "!"

SD2_TEXT: Mapping[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "max_position_embeddings": TOKENS,
    "vocab_size": 49408,
    "projection_dim": 512,
}
"""OpenCLIP ViT-H without its last layer, as Stable Diffusion 2 uses it."""


class TextEncoder:
    """Text -> last hidden states `[1,77,D]`, fp32 on the CPU; weights are held only while a new prompt is encoded,
    unless `hold` was called.

    Args:
        config: arguments of `CLIPTextConfig`.
        read: reads the weights, named as transformers does (with or without the leading "text_model.").
        tokenizer: folder of a CLIP tokenizer; None: the vocabulary that comes with us.
    """

    def __init__(
        self, config: Mapping[str, Any], read: Callable[[], WeightsFile], tokenizer: Path | None = None
    ) -> None:
        self._config = config
        self._read = read
        self._tokenizer = tokenizer
        self._cache: dict[str, torch.Tensor] = {}
        self._held: Any = None
        self._held_tokenizer: Any = None

    def hold(self, device: torch.device) -> None:
        """Keep the weights on `device` from now on: for a training, in which every picture has a prompt of its own."""
        self._held = self._load().to(device)
        self._held_tokenizer = self._load_tokenizer()

    @property
    def width(self) -> int:
        """D."""
        return int(self._config["hidden_size"])

    def encode(self, text: str) -> torch.Tensor:
        """States of `text`, cut after 77 tokens. Raises `ModelFileError` when the weights cannot be used."""
        states = self._cache.pop(text, None)
        if states is None:
            states = self._compute(text)
        self._cache[text] = states  # the last one used stands last
        if len(self._cache) > MOST_KEPT:
            del self._cache[next(iter(self._cache))]
        return states

    @torch.no_grad()
    def _compute(self, text: str) -> torch.Tensor:
        tokenizer = self._held_tokenizer or self._load_tokenizer()
        encoded = tokenizer([text], max_length=TOKENS, padding="max_length", truncation=True, return_tensors="pt")
        model = self._held or self._load()
        device = next(model.parameters()).device
        return model(encoded.input_ids.to(device)).last_hidden_state.float().cpu()

    def _load(self) -> Any:  # noqa: ANN401 - transformers' CLIPTextModel
        from transformers import CLIPTextConfig, CLIPTextModel

        with torch.device("meta"):
            model: Any = CLIPTextModel(CLIPTextConfig(**self._config))
        file = self._read()
        names = {_bare(name): name for name in model.state_dict()}
        given = {names.get(_bare(name), name): tensor for name, tensor in file.content.items()}
        given = {name: tensor for name, tensor in given.items() if not name.endswith("position_ids")}
        load_network(model, given, torch.float32, file.path)
        for path, module in model.named_modules():  # buffers that no file holds are still on "meta"
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_meta and name == "position_ids":
                    module.register_buffer(name, torch.arange(buffer.shape[-1])[None], persistent=False)
                elif buffer.is_meta:
                    raise RuntimeError(f"buffer {path}.{name} of the text encoder was not filled")
        return model

    def _load_tokenizer(self) -> Any:  # noqa: ANN401 - transformers' CLIPTokenizer
        from transformers import CLIPTokenizer

        if self._tokenizer is not None:
            return CLIPTokenizer.from_pretrained(str(self._tokenizer), local_files_only=True)
        with tempfile.TemporaryDirectory() as folder:
            write_vocabulary(Path(folder))
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def write_vocabulary(folder: Path) -> None:
    """Unpack CLIP's byte-pair vocabulary (49,408 entries; OpenAI, MIT licence) as transformers' tokenizer files.

    The order is CLIP's: 256 bytes as printable characters, the same with "</w>", the merges, start and end of text.
    """
    merges = gzip.decompress(MERGES.read_bytes()).decode().splitlines()
    letters = _byte_characters()
    words = [*letters, *(letter + "</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": PADDING_TOKEN,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _byte_characters() -> list[str]:
    """A visible character for each byte: the printable Latin-1 ones themselves, first; the others from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) for byte in visible] + [chr(256 + index) for index in range(len(hidden))]


def _bare(name: str) -> str:
    return name.removeprefix("text_model.")
