#!/usr/bin/env python3
"""Joint CTC/attention decoding of asrkit against ESPnet: equal sizes, random weights.

The models are those of train_step.py. End of sentence is forbidden before a fixed number of labels,
so that both searches take the same number of steps. ESPnet decodes as its `Speech2Text` does:
utterance by utterance, with `BatchBeamSearch` over the hypotheses; asrkit decodes all utterances
together. Encoder and search are timed.

    python tools/benchmark/decode.py compare --beam 10 --espnet-python /path/to/venv/bin/python
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from tools.benchmark.side_by_side import DEVICES, main, wait_for
from tools.benchmark.train_step import FEATURES, LABELS, asrkit_step, espnet_step

UTTERANCES, FRAMES, OUTPUTS = 16, 1000, 30
SIZES = {"beam": 10, "utterances": UTTERANCES, "frames": FRAMES, "layers": 12}
NEVER = -1e4


def random_utterances() -> Tensor:
    """Returns features (B, T, F)."""
    torch.manual_seed(1)
    return torch.randn(UTTERANCES, FRAMES, FEATURES)


def asrkit_seconds(features: Tensor, beam: int, layers: int) -> float:
    """Returns the seconds that asrkit takes for all utterances."""
    from asrkit.search.label_sync import LabelSyncSearch

    parts: Any = asrkit_step(layers)[0].eval().to(features.device)
    encoder, ctc, attention = parts
    attention.decoder.output.bias.data[-1] = NEVER
    lengths = torch.full((len(features),), features.shape[1], device=features.device)
    limit = OUTPUTS / int(encoder.output_lengths(lengths)[0])
    weights = {"attention": 0.7, "ctc": 0.3}
    heads = {"ctc": ctc, "attention": attention}
    search = LabelSyncSearch(weights, beam, max_length_ratio=limit + 1e-6).over(heads)
    wait_for(features.device.type)
    start = time.perf_counter()
    found = search.run(encoder(features, lengths))
    seconds = time.perf_counter() - start  # results are lists on the CPU: no need to synchronise
    assert all(len(n_best[0].labels) == OUTPUTS for n_best in found)
    return seconds


def espnet_seconds(features: Tensor, beam: int, layers: int) -> float:
    """Returns the seconds that ESPnet takes for all utterances."""
    from espnet.nets.batch_beam_search import BatchBeamSearch
    from espnet.nets.scorers.ctc import CTCPrefixScorer

    device = features.device
    model: Any = espnet_step(layers)[0].eval().to(device)
    model.decoder.output_layer.bias.data[-1] = NEVER
    search = BatchBeamSearch(
        beam_size=beam,
        weights={"decoder": 0.7, "ctc": 0.3},
        scorers={"decoder": model.decoder, "ctc": CTCPrefixScorer(model.ctc, model.eos)},
        sos=model.sos,
        eos=model.eos,
        vocab_size=LABELS + 2,
        token_list=model.token_list,
        pre_beam_score_key="full",
    )
    search.to(device).eval()
    wait_for(device.type)
    start = time.perf_counter()
    for utterance in features:
        lengths = torch.tensor([len(utterance)], device=device)
        encoded, _ = model.encode(utterance[None], lengths)
        found = search(encoded[0], maxlenratio=-OUTPUTS)
        assert found, "ESPnet found no hypothesis"
        assert len(found[0].yseq) == OUTPUTS + 2  # with start and end of sentence
    return time.perf_counter() - start


def measure(
    toolkit: str,
    threads: int,
    beam: int,
    utterances: int,
    frames: int,
    layers: int,
    device: str,
    precision: str,
) -> dict[str, Any]:
    """Returns the rate of one toolkit in utterances per second, after a warm-up."""
    torch.set_num_threads(threads)
    run = asrkit_seconds if toolkit == "asrkit" else espnet_seconds
    autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), autocast:
        features = random_utterances()[:utterances, :frames].to(device)
        run(features, beam, layers)
        seconds = run(features, beam, layers)
    audio = utterances * frames / 100
    return {"toolkit": toolkit, "rate": utterances / seconds, "rtf": seconds / audio}


if __name__ == "__main__":
    main(__file__, __doc__, measure, SIZES, DEVICES)
