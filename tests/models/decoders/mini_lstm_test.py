"""Mini-LSTM internal language models: zero context, training, step by step, and in searches."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.decoders.mini_lstm import MiniLstmDecoder
from asrkit.models.decoders.recurrent import StackedLstmDecoder
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded
from asrkit.models.language_model import LanguageModel
from asrkit.scorers.interfaces import join, select
from asrkit.scorers.internal_lm import InternalLmScorer, MiniLstm
from asrkit.scorers.loader import FoundHead
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.text.outputs import Outputs
from asrkit.training.importing import freeze
from tests.models.heads.attention_test import TwoBlocks
from tests.scorers.coverage_test import DECODERS, LENGTHS, VOCABULARY, V, encoded, make, score

KINDS = list(DECODERS)


def language_model(kind: str, head: AttentionHead | None = None) -> LanguageModel:
    """Returns a mini-LSTM of random weights around a copy of the head's decoder."""
    torch.manual_seed(5)
    decoder = partial(MiniLstmDecoder, decoder=DECODERS[kind], frame_dim=4, units=3)
    model = LanguageModel(VOCABULARY, decoder, label_smoothing=0.1)
    inner = model.decoder
    assert isinstance(inner, MiniLstmDecoder)
    inner.decoder.load_state_dict((head or make(kind)).decoder.state_dict())
    return model.eval()


def log_probs(model: LanguageModel, labels: tuple[int, ...]) -> Tensor:
    """Returns (U + 1, V + 1) of all next labels, computed at once."""
    nothing = torch.zeros(1, 0, dtype=torch.bool)
    with torch.no_grad():
        scores: Tensor = model.decoder(torch.tensor([[V, *labels]]), None, nothing)
    return scores[0].log_softmax(1)


def text() -> Batch:
    labels = torch.tensor([[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]])
    lengths = torch.tensor([3, 2, 3, 1])
    return Batch(list("abcd"), torch.zeros(4, 0), torch.zeros(4).long(), labels, lengths)


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_of_zeros_is_the_internal_lm_without_any(kind: str) -> None:
    head, model = make(kind), language_model(kind)
    inner = model.decoder
    assert isinstance(inner, MiniLstmDecoder)
    torch.nn.init.zeros_(inner.context.weight)
    torch.nn.init.zeros_(inner.context.bias)
    mine, zeros = model.label_scorer(encoded([0, 1, 2])), head.internal_lm(encoded([0, 1, 2]))
    states = [mine.initial_state(), zeros.initial_state()]
    for labels in torch.tensor([[0, 1, 1], [1, 1, 0]]):
        torch.testing.assert_close(mine.score(states[0]), zeros.score(states[1]))
        states = [mine.advance(states[0], labels), zeros.advance(states[1], labels)]
    torch.testing.assert_close(mine.score(states[0]), zeros.score(states[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_whole_strings_for_reordered_and_joined_hypotheses(kind: str) -> None:
    model = language_model(kind)
    scorer = model.label_scorer(encoded([0, 1]))
    state = scorer.advance(scorer.initial_state(), torch.tensor([0, 1]))
    state = select(state, torch.tensor([1, 0, 1]))  # strings 1, 0, 1
    longer = scorer.advance(select(state, torch.tensor([0, 1])), torch.tensor([1, 0]))
    state = join(state, longer)  # 1, 0, 1, 11, 00
    state = scorer.advance(select(state, torch.tensor([3, 0, 4])), torch.tensor([0, 1, 1]))
    expected = [log_probs(model, labels)[-1] for labels in ((1, 1, 0), (1, 1), (0, 0, 1))]
    torch.testing.assert_close(scorer.score(state), torch.stack(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_the_lstm_and_its_output_alone(kind: str) -> None:
    model = language_model(kind).train()
    freeze(model, [r"^decoder\.decoder\."])
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02, weight_decay=0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    start = float(model.eval()(text())["loss"].total)
    for _ in range(20):
        optimizer.zero_grad()
        model.train()(text())["loss"].total.backward()
        optimizer.step()
    for name, tensor in model.state_dict().items():
        moved = name.startswith(("decoder.lstm.", "decoder.context."))
        assert torch.equal(tensor, before[name]) != moved, name
    assert float(model.eval()(text())["loss"].total) < start
    assert model.stands_beside(make(kind))


class OneModel:
    """A loader of an attention head, a CTC head and one language model."""

    vocabulary = VOCABULARY

    def __init__(self, kind: str) -> None:
        torch.manual_seed(4)
        ctc = CtcHead(TwoBlocks(), VOCABULARY, 1.0).eval().requires_grad_(False)
        self.heads: dict[str, Any] = {"attention": make(kind), "ctc": ctc}
        self.model = language_model(kind)

    def head(self, name: str, run: Any, checkpoint: str) -> FoundHead:
        return FoundHead(self.heads[name], f"the {type(self.heads[name]).__name__}")

    def language_model(self, run: Any, checkpoint: str) -> Any:
        assert (str(run), checkpoint) == ("ilm", "average")
        return self.model


def entry(weight: float) -> InternalLmScorer:
    return InternalLmScorer(weight, estimation=MiniLstm("ilm"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_searches_find_the_best_of_all_strings(kind: str) -> None:
    loader, seen = OneModel(kind), encoded([0, 1, 2])
    search = LabelSyncSearch({"attention": 1.0, "ilm": entry(-0.4)}, 100, patience=99, nbest=3)
    lists = search.load(loader).run(seen)  # type: ignore[arg-type]
    assert search.own_heads == ["attention", "attention"]
    for row, n_best in enumerate(lists):
        length = int(LENGTHS[row])
        frames = seen.frames[row : row + 1, :length]
        exact = {}
        for size in range(length + 1):
            for labels in itertools.product(range(V), repeat=size):
                steps = log_probs(loader.model, labels)
                internal = steps.gather(1, torch.tensor([*labels, V])[:, None]).sum()
                heard = score(loader.heads["attention"], frames, labels)
                exact[labels] = (heard - 0.4 * float(internal), float(internal))
        best = sorted((total for total, _ in exact.values()), reverse=True)[:3]
        assert [h.score for h in n_best] == pytest.approx(best, abs=1e-4)
        for h in n_best:
            assert h.scores["ilm"] == pytest.approx(exact[tuple(h.labels)][1], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_finds_what_single_utterances_find_frame_by_frame(kind: str) -> None:
    search = TimeSyncSearch({"attention": 0.6, "ctc": 0.4, "ilm": entry(-0.2)}, 3)
    loaded = search.load(OneModel(kind))  # type: ignore[arg-type]
    together = loaded.run(encoded([0, 1, 2]))
    for row in range(3):
        alone = loaded.run(encoded([row]))[0]
        assert [h.labels for h in alone] == [h.labels for h in together[row]]
        for one, other in zip(alone, together[row], strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_the_decoder_must_be_that_of_the_head() -> None:
    loader = OneModel("transformer")
    loader.heads["attention"].decoder.output.bias += 0.1
    with pytest.raises(UserError, match="ilm is not the internal language model of the Attention"):
        entry(-0.1).load("ilm", loader)  # type: ignore[arg-type]
    other: Any = FoundHead(make("lstm"), "another head")
    with pytest.raises(UserError, match="ilm is not the internal language model of another head"):
        MiniLstm(Path("ilm")).source(other, loader)  # type: ignore[arg-type]
    search = LabelSyncSearch({"ilm": InternalLmScorer(-0.1, head="ctc")}, 3)
    with pytest.raises(UserError, match="scorer 'ilm' of a label_sync search: the CtcHead reads"):
        search.load(loader)  # type: ignore[arg-type]


def test_what_cannot_be_is_refused() -> None:
    outputs = Outputs.labels_with_eos(VOCABULARY)

    def without_frames(outputs: Outputs, encoder_dim: int) -> StackedLstmDecoder:
        return StackedLstmDecoder(outputs, None, embedding_dim=4, hidden_dim=4, num_layers=1)

    with pytest.raises(ValueError, match="StackedLstmDecoder has no attention to stand in for"):
        MiniLstmDecoder(outputs, None, without_frames, 4)
    with pytest.raises(ValueError, match="reads no frames: use it in a language_model"):
        MiniLstmDecoder(outputs, 4, DECODERS["lstm"], 4)


def test_without_its_own_frames_an_utterance_is_like_any_other() -> None:
    model = language_model("lstm")
    noise = Encoded(torch.randn(3, 4, 4), LENGTHS)
    scorers = [model.label_scorer(seen) for seen in (encoded([0, 1, 2]), noise)]
    first, second = (scorer.score(scorer.initial_state()) for scorer in scorers)
    assert torch.equal(first, second)
