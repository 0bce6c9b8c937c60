"""A stream is recognised like the whole recording, with a memory that doesn't grow."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.ordered import Ordered
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.experiment.stream import SpeechStream
from asrkit.experiment.system import Encodings
from asrkit.models.asr_model import AsrModel
from asrkit.models.chunked_encoder import ChunkedEncoder
from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.heads.chunked_attention import ChunkedAttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.nn.features import LogMel
from asrkit.nn.signal_normalization import PeakNormalization
from asrkit.scorers.interfaces import map_state
from asrkit.scorers.sources import Source
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.frame_search import FrameSearch
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.search import LoadedSearch, Search
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.transducer import TransducerSearch
from asrkit.text.vocabulary import Vocabulary
from tests.models.chunked_encoder_test import inner

RATE, BINS = 1000, 8
VOCABULARY = Vocabulary(list("abc"))


class Tokenizer:
    def decode(self, labels: list[int]) -> str:
        return "".join(VOCABULARY.symbols[label] for label in labels)


class System:
    """What a stream knows of a system."""

    def __init__(self, model: AsrModel) -> None:
        self.encoders, self.device = [model], torch.device("cpu")
        self.tokenizer = Tokenizer()

    def loaded(self, search: Search) -> LoadedSearch:
        heads = {
            name: Source.of(head).reading(lambda encoded: encoded.each[0])
            for name, head in self.encoders[0].named_heads().items()
        }
        return search.over(heads)


def make() -> AsrModel:
    torch.manual_seed(3)
    decoder = partial(
        LstmDecoder, embedding_dim=4, hidden_dim=16, attention_dim=8, readout_dim=16, dropout=0.0
    )
    return AsrModel(
        VOCABULARY,
        LogMel(BINS, RATE),
        partial(ChunkedEncoder, encoder=inner, size=16, left=8, right=8),
        {
            "ctc": partial(CtcHead, weight=0.5, dropout=0.0),
            "chunked": partial(ChunkedAttentionHead, weight=1.0, decoder=decoder, aligned_by="ctc"),
        },
    )


def tones(labels: list[int], seed: int) -> Tensor:
    """Returns 0.12 s of a tone for each label, with noise: (N,)."""
    torch.manual_seed(seed)
    times = torch.arange(120) / RATE
    parts = [torch.sin(2 * torch.pi * (60 + 110 * label) * times) for label in labels]
    return 0.3 * torch.cat(parts) + 0.01 * torch.randn(120 * len(labels))


def batch() -> Batch:
    torch.manual_seed(0)
    rows = [torch.randperm(3).repeat(2)[: 3 + number % 4] for number in range(12)]
    signals = [tones(row.tolist(), number) for number, row in enumerate(rows)]
    sizes = torch.tensor([len(row) for row in rows])
    return Batch(
        [str(number) for number in range(len(rows))],
        torch.nn.utils.rnn.pad_sequence(signals, batch_first=True),
        120 * sizes,
        torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        sizes,
    )


@pytest.fixture(scope="module")
def system() -> System:
    """A model that knows tones, more or less."""
    model, heard = make().train(), batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        report = model(heard)
        optimizer.zero_grad()
        sum(part.weight * part.total / part.count for part in report.values()).backward()
        optimizer.step()
    return System(model.eval())


SEARCHES: list[FrameSearch[Any]] = [
    TransducerSearch(4, {"chunked": 1.0}, "chunked"),
    TransducerSearch(3, {"chunked": 1.0}, "chunked", recombination="none"),
    TimeSyncSearch({"ctc": 1.0}, 4),
    CtcGreedySearch(),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_a_stream_is_recognised_like_the_whole(system: System, search: FrameSearch[Any]) -> None:
    loaded = system.loaded(search)
    said = [0, 1, 2, 2, 1, 0, 1, 2, 0, 1] * 2
    signal = tones(said, 5)
    with torch.inference_mode():
        encoded = system.encoders[0].encode(signal[None], torch.tensor([len(signal)]))
        (whole,) = loaded.run(Encodings([encoded]))
    stream, settled = SpeechStream(system, loaded), [""]  # type: ignore[arg-type]
    for place in range(0, len(signal), 130):
        settled.append(stream.feed(signal[place : place + 130]))
        assert settled[-1].startswith(settled[-2])
    text = stream.finish()
    assert text == system.tokenizer.decode(whole[0].labels)
    assert text.startswith(settled[-1])
    assert len(text) > 5
    with pytest.raises(UserError, match="has ended"):
        stream.feed(signal)


def held(stream: SpeechStream) -> int:
    """Returns how many numbers the stream's tensors have."""
    state: Any = stream._state
    numbers = [stream._frames.samples.numel()]

    def count(tensor: Tensor) -> Tensor:
        numbers.append(tensor.numel())
        return tensor

    map_state(state.symbols.state, count)
    map_state((state.symbols.scorer.memory, state.symbols.scorer.encoded), count)
    map_state([each for each in vars(state.beam).values() if isinstance(each, Tensor)], count)
    return sum(numbers)


def test_the_memory_of_a_stream_does_not_grow(system: System) -> None:
    loaded = system.loaded(SEARCHES[0])
    stream = SpeechStream(system, loaded)  # type: ignore[arg-type]
    signal, sizes = tones([0, 1, 2, 1], 5), []
    for _ in range(60):
        stream.feed(signal)
        sizes.append(held(stream))
    assert len(stream.settled) > 60
    # Hypotheses differ in their last labels only, so that what is kept has a bound.
    assert max(sizes[30:]) <= max(sizes[:30])


def test_training_aligns_by_the_other_head_and_learns(system: System) -> None:
    with torch.no_grad():
        report = system.encoders[0](batch())
    errors = report["chunked.errors"]
    assert float(errors.total) / errors.count < 0.3
    assert float(report["chunked.infeasible"].total) == 0.0


def test_heads_are_aligned_by_ctc_heads_only() -> None:
    decoder = partial(LstmDecoder, embedding_dim=4, hidden_dim=4, attention_dim=4, readout_dim=4)
    for name in ("ctc", "chunked"):
        with pytest.raises(ValueError, match=f"aligned_by '{name}'"):
            AsrModel(
                VOCABULARY,
                LogMel(BINS, RATE),
                inner,
                {
                    "chunked": partial(
                        ChunkedAttentionHead,
                        weight=1.0,
                        decoder=decoder,
                        chunk_frames=4,
                        aligned_by=name,
                    )
                },
                Ordered(),
            )


def test_what_needs_whole_utterances_is_refused(system: System) -> None:
    model: Any = system
    with pytest.raises(UserError, match="can't follow a stream"):
        SpeechStream(model, system.loaded(LabelSyncSearch({"ctc": 1.0}, 3)))
    with pytest.raises(UserError, match="needs whole utterances"):
        SpeechStream(
            model, system.loaded(TransducerSearch(3, {"chunked": 1.0, "ctc": 0.1}, "chunked"))
        )
    louder: Any = System(make())
    louder.encoders[0].features = LogMel(BINS, RATE, signal_normalization=PeakNormalization())
    with pytest.raises(UserError, match="recognise the whole recording instead") as error:
        SpeechStream(louder, louder.loaded(CtcGreedySearch()))
    assert "model.features.signal_normalization of type PeakNormalization" in str(error.value)
