#!/usr/bin/env python3
"""Transducer beam search of asrkit against ESPnet: the same model, beam 12, on a CPU.

The encoder is the Conformer of train_step.py, with random weights; it is timed separately. The
search reads frames of which every eighth has a label that prediction network and joiner recognise:
so a search costs as much as with a trained model, and must find all labels in three utterances of
four. The weights of the prediction network (LSTM 512) and the joiner (640), and the frames, are the
same in both toolkits. asrkit decodes all utterances together with `TransducerSearch`, as RNN-T;
ESPnet decodes one at a time, as its `Speech2Text` does, with its searches `default` and `alsd`. The
rate of the faster search is compared; the rates of both, also including the encoder, are printed.

    python tools/benchmark/transducer_search.py compare --espnet-python /path/to/venv/bin/python
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from tools.benchmark.decode import FRAMES, UTTERANCES, random_utterances
from tools.benchmark.side_by_side import main
from tools.benchmark.train_step import LABELS, asrkit_step, espnet_step

BEAM, DIM, HIDDEN, JOINER, EVERY = 12, 256, 512, 640, 8
SPOKEN, SEEN, SILENT, NOISE = 14.0, 9.0, 3.0, 0.25
"""Logit of a label in its frame, of the last label against its repetition, of blank; noise."""
Encode = Callable[[Tensor], object]
Search = Callable[[Tensor], list[list[int]]]


@dataclass(frozen=True)
class Planted:
    """A transducer that recognises the labels of its frames; entry V = LABELS is blank and bos.

    Args:
        embedding: (V + 1, H) of the prediction network.
        lstm: Weights and biases of its LSTM, with PyTorch's names.
        label_projection: (J, H).
        frame_projection: (J, D).
        output: (V + 1, J), without bias.
        frames: (B, T, D).
        labels: (B, U) the labels to find.
    """

    embedding: Tensor
    lstm: dict[str, Tensor]
    label_projection: Tensor
    frame_projection: Tensor
    output: Tensor
    frames: Tensor
    labels: Tensor

    @classmethod
    def make(cls, num_utterances: int, num_frames: int) -> "Planted":
        """Returns the model and its frames; the same numbers on every machine."""
        torch.manual_seed(2)
        directions = torch.randn(LABELS + 1, JOINER, dtype=torch.float64) / JOINER**0.5
        embedding = torch.randn(LABELS + 1, HIDDEN, dtype=torch.float64)
        lstm = forgetful_lstm()
        said = torch.tanh(torch.tanh(embedding @ lstm["weight_ih_l0"][2 * HIDDEN : 3 * HIDDEN].T))
        wanted = SILENT * directions[-1] - SEEN * directions
        wanted[-1] = SILENT * directions[-1]
        label_projection = torch.linalg.lstsq(said, wanted).solution.T
        frame_projection = torch.randn(JOINER, DIM, dtype=torch.float64) / DIM**0.5
        labels = torch.randint(0, LABELS // 2, (num_utterances, num_frames // EVERY))
        labels[:, 1::2] += LABELS // 2  # no two neighbours are equal
        shown = 0.3 * SPOKEN * directions[-1].repeat(num_utterances, num_frames, 1)
        shown[:, EVERY // 2 :: EVERY][:, : labels.shape[1]] = SPOKEN * directions[labels]
        frames = shown @ torch.linalg.pinv(frame_projection).T
        frames = frames + NOISE * torch.randn(frames.shape, dtype=torch.float64)
        return cls(
            embedding.float(),
            {name: tensor.float() for name, tensor in lstm.items()},
            label_projection.float(),
            frame_projection.float(),
            4 * directions.float(),
            frames.float(),
            labels,
        )


def forgetful_lstm() -> dict[str, Tensor]:
    """Returns an LSTM whose output depends only on its last input; it costs as much as others."""
    bias = torch.tensor([30.0, -30.0, 0.0, 30.0], dtype=torch.float64).repeat_interleave(HIDDEN)
    weight = torch.zeros(4, HIDDEN, HIDDEN, dtype=torch.float64)
    weight[2] = torch.randn(HIDDEN, HIDDEN, dtype=torch.float64) / HIDDEN**0.5
    return {
        "weight_ih_l0": weight.flatten(0, 1),
        "weight_hh_l0": torch.zeros(4 * HIDDEN, HIDDEN, dtype=torch.float64),
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }


def asrkit_parts(model: Planted) -> tuple[Encode, dict[str, Search]]:
    """Returns asrkit's encoder of features (B, T, F) and its search: frames (B, T, D) to labels."""
    from functools import partial

    from asrkit.lattice.topologies import RnntTopology
    from asrkit.models.heads.transducer.head import TransducerHead
    from asrkit.models.heads.transducer.parts import JoinerSettings
    from asrkit.models.interfaces import Encoded
    from asrkit.models.predictors.lstm import LstmPredictor
    from asrkit.search.transducer import TransducerSearch
    from asrkit.text.vocabulary import Vocabulary

    parts: Any = asrkit_step()[0].eval()
    encoder = parts[0]
    predictor = partial(LstmPredictor, embedding_dim=HIDDEN, hidden_dim=HIDDEN)
    vocabulary = Vocabulary([f"l{i}" for i in range(LABELS)])
    joiner = JoinerSettings(JOINER)
    head = TransducerHead(encoder, vocabulary, 1.0, RnntTopology(), predictor, joiner).eval()
    weights = {
        "predictor.embedding.weight": model.embedding,
        **{f"predictor.layers.0.{name}": tensor for name, tensor in model.lstm.items()},
        "frame_projection.weight": model.frame_projection,
        "label_projection.weight": model.label_projection,
        "label_projection.bias": torch.zeros(JOINER),
        "output.weight": model.output,
        "output.bias": torch.zeros(LABELS + 1),
    }
    head.load_state_dict(weights)
    search = TransducerSearch(BEAM).over({"transducer": head})

    def encode(features: Tensor) -> object:
        return encoder(features, torch.full((len(features),), features.shape[1]))

    def run(frames: Tensor) -> list[list[int]]:
        encoded = Encoded(frames, torch.full((len(frames),), frames.shape[1]))
        return [n_best[0].labels for n_best in search.run(encoded)]

    return encode, {"asrkit": run}


def espnet_parts(model: Planted) -> tuple[Encode, dict[str, Search]]:
    """Returns ESPnet's encoder of features (B, T, F) and its searches: frames to labels."""
    from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
    from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer
    from espnet2.asr_transducer.joint_network import JointNetwork

    encoder: Any = espnet_step()[0].eval()
    decoder = TransducerDecoder(LABELS + 1, hidden_size=HIDDEN).eval()
    decoder.load_state_dict(
        {
            "embed.weight": model.embedding.roll(1, 0),  # ESPnet's blank is entry 0
            **{f"decoder.0.{name}": tensor for name, tensor in model.lstm.items()},
        }
    )
    joint = JointNetwork(LABELS + 1, DIM, HIDDEN, JOINER).eval()
    joint.load_state_dict(
        {
            "lin_enc.weight": model.frame_projection,
            "lin_enc.bias": torch.zeros(JOINER),
            "lin_dec.weight": model.label_projection,
            "lin_dec.bias": torch.zeros(JOINER),
            "lin_out.weight": model.output.roll(1, 0),
            "lin_out.bias": torch.zeros(LABELS + 1),
        }
    )

    def encode(features: Tensor) -> object:
        return [encoder.encode(one[None], torch.tensor([len(one)])) for one in features]

    def search(kind: str) -> Search:
        found = BeamSearchTransducer(decoder, joint, BEAM, search_type=kind)
        return lambda batch: [[s - 1 for s in found(frames)[0].yseq[1:]] for frames in batch]

    return encode, {kind: search(kind) for kind in ("default", "alsd")}


def seconds_of(run: Callable[[Tensor], Any], batch: Tensor) -> tuple[float, Any]:
    """Returns the seconds per batch after a warm-up, and the result."""
    run(batch[:1])
    start = time.perf_counter()
    result = run(batch)
    return time.perf_counter() - start, result


def measure(
    toolkit: str, threads: int, num_utterances: int = UTTERANCES, num_frames: int = FRAMES
) -> dict[str, Any]:
    """Returns the rate of a toolkit's fastest search in utterances per second."""
    torch.set_num_threads(threads)
    model = Planted.make(num_utterances, num_frames // 4 - 1)
    encode, searches = (asrkit_parts if toolkit == "asrkit" else espnet_parts)(model)
    result: dict[str, Any] = {"toolkit": toolkit}
    with torch.inference_mode():
        features = random_utterances()[:num_utterances, :num_frames]
        for _ in range(2):  # the first batches of a process have to allocate memory
            encode(features)
        encoding, _ = seconds_of(encode, features)
        result["encoder"] = len(features) / encoding
        for name, search in searches.items():
            seconds, found = seconds_of(search, model.frames)
            result[name] = len(features) / seconds
            result[f"{name} with encoder"] = len(features) / (seconds + encoding)
            pairs = zip(found, model.labels.tolist(), strict=True)
            wrong = sum(one != other for one, other in pairs)  # noise may hide a label
            assert wrong <= len(features) / 4, f"{toolkit} {name}: {wrong} utterances are wrong"
    result["rate"] = max(result[name] for name in searches)
    return result


if __name__ == "__main__":
    main(__file__, __doc__, measure)
