#!/usr/bin/env python3
"""Training steps of asrkit against ESPnet: the same sizes on the same random batches.

A 12-layer Conformer (D 256, 4 heads, feed-forward 1024, kernel 31) with 2 x 256-channel
convolutional subsampling by 4, CTC, and a 6-layer Transformer decoder (feed-forward 2048); forward,
loss, backward, clipping and AdamW update. Each toolkit runs in its own environment:

    python tools/benchmark/train_step.py compare --espnet-python /path/to/venv/bin/python

alternates the two and prints both rates, their ratio, parameters and peak memory. For a GPU, give
--device cuda, --precision bf16 and larger batches (--utterances).
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from tools.benchmark.side_by_side import DEVICES, main, peak_gib, wait_for

LABELS, FEATURES, WARM_UP = 500, 80, 1
SIZES = {"utterances": 4, "batches": 4, "frames": 1500, "layers": 12}
"""Utterances per batch; batches; frames of the longest utterance, others have at least 60 %."""
Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def random_batches(
    utterances: int, batches: int, frames: int
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Returns features (B, T, F), lengths, labels and label lengths, similar to LibriSpeech."""
    torch.manual_seed(0)
    result = []
    for _ in range(batches + WARM_UP):
        lengths = torch.randint(frames * 3 // 5, frames, (utterances,)).sort(descending=True).values
        label_lengths = lengths // 30
        features = torch.randn(utterances, int(lengths.max()), FEATURES)
        labels = torch.randint(0, LABELS, (utterances, int(label_lengths.max())))
        result.append((features, lengths, labels, label_lengths))
    return result


def asrkit_step(layers: int = 12) -> tuple[nn.Module, Step]:
    """Returns asrkit's model with a number of encoder layers, and its objective for a batch."""
    from asrkit.allocator import keep_freed_memory
    from asrkit.config.build import build
    from asrkit.config.registry import Factory, import_all
    from asrkit.cpu import multiply_with_onednn
    from asrkit.data.batch import Batch
    from asrkit.models.interfaces import Encoder, Head
    from asrkit.text.vocabulary import Vocabulary

    class Parts:
        """The parts of the model."""

        def __init__(self, encoder: Factory[Encoder], heads: list[Factory[Head]]) -> None:
            self.encoder, self.heads = encoder, heads

    keep_freed_memory()  # this and the next line as in asrkit's verbs
    multiply_with_onednn()
    import_all()
    ffn = {"type": "feed_forward", "hidden_dim": 1024}
    attention = {"type": "self_attention", "num_heads": 4, "position": "transformer_xl"}
    decoder = {"type": "transformer", "dim": 256, "num_layers": 6, "num_heads": 4}
    blocks = [
        {"name": "ffn1", "scale": 0.5, "module": ffn},
        {"name": "attention", "module": attention},
        {"name": "convolution", "module": {"type": "convolution", "kernel_size": 31}},
        {"name": "ffn2", "scale": 0.5, "module": ffn},
    ]
    frontend = [{"type": "conv2d", "channels": [256, 256], "strides": [2, 2], "dim": 256}]
    spec = {"dim": 256, "num_layers": layers, "blocks": blocks, "frontend": frontend}
    attention_head = {"type": "attention", "decoder": {**decoder, "hidden_dim": 2048}}
    tree = {
        "encoder": {"type": "conformer", **spec},
        "heads": [{"type": "ctc", "weight": 0.3}, {**attention_head, "weight": 0.7}],
    }
    parts = build(Parts, tree)
    encoder = parts.encoder(input_dim=FEATURES)
    vocabulary = Vocabulary([f"l{i}" for i in range(LABELS)])
    heads = [make(encoder=encoder, vocabulary=vocabulary) for make in parts.heads]
    model = nn.ModuleList([encoder, *heads])

    def objective(features: Tensor, lengths: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
        encoded = encoder(features, lengths)
        batch = Batch([""] * len(lengths), features, lengths, labels, sizes)
        losses = [p for head in heads for p in head.loss(encoded, batch).values() if p.weight]
        return torch.stack([p.weight * p.total for p in losses]).sum() / int(sizes.sum())

    return model, objective


def espnet_step(layers: int = 12) -> tuple[nn.Module, Step]:
    """Returns ESPnet's model with a number of encoder layers, and its objective for a batch."""
    from espnet2.asr.ctc import CTC
    from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
    from espnet2.asr.espnet_model import ESPnetASRModel

    encoder = ConformerEncoder(
        FEATURES,
        output_size=256,
        attention_heads=4,
        linear_units=1024,
        num_blocks=layers,
        dropout_rate=0.1,
        positional_dropout_rate=0.1,
        attention_dropout_rate=0.1,
        input_layer="conv2d",
        macaron_style=True,
        rel_pos_type="latest",
        pos_enc_layer_type="rel_pos",
        selfattention_layer_type="rel_selfattn",
        activation_type="swish",
        use_cnn_module=True,
        cnn_module_kernel=31,
    )
    size = LABELS + 2
    decoder = TransformerDecoder(
        size,
        256,
        attention_heads=4,
        linear_units=2048,
        num_blocks=6,
        dropout_rate=0.1,
        positional_dropout_rate=0.1,
        self_attention_dropout_rate=0.1,
        src_attention_dropout_rate=0.1,
    )
    model = ESPnetASRModel(
        vocab_size=size,
        token_list=["<blank>", *[f"l{i}" for i in range(LABELS)], "<eos>"],
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        decoder=decoder,
        ctc=CTC(size, 256),
        joint_network=None,
        ctc_weight=0.3,
        lsm_weight=0.1,
        report_cer=False,
        report_wer=False,
    )

    def objective(features: Tensor, lengths: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
        loss: Tensor = model(features, lengths, labels + 1, sizes)[0]
        return loss

    return model, objective


def measure(
    toolkit: str,
    threads: int,
    utterances: int,
    batches: int,
    frames: int,
    layers: int,
    device: str,
    precision: str,
) -> dict[str, Any]:
    """Returns the rate of one toolkit in audio seconds (10 ms frames) per second."""
    torch.set_num_threads(threads)
    examples = random_batches(utterances, batches, frames)
    model, objective = asrkit_step(layers) if toolkit == "asrkit" else espnet_step(layers)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=toolkit == "asrkit")
    seconds = heard = 0.0
    for number, batch in enumerate(examples):
        given = [part.to(device) for part in batch]
        wait_for(device)
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = objective(*given)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        wait_for(device)
        if number >= WARM_UP:
            seconds += time.perf_counter() - start
            heard += float(batch[1].sum())
    return {
        "toolkit": toolkit,
        "rate": heard / 100 / seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_gib": peak_gib(device),
    }


if __name__ == "__main__":
    main(__file__, __doc__, measure, SIZES, DEVICES)
