"""CTC heads that were trained with end of sentence as a label, against enumeration of paths."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.lattice.greedy import greedy_labels
from asrkit.lattice.topologies import min_frames
from asrkit.models.heads.ctc import CtcHead, appended
from asrkit.models.interfaces import Encoded
from asrkit.scorers.ctc import CtcScorer
from asrkit.scorers.loader import FoundHead
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.text.vocabulary import Vocabulary
from tests.models.heads.ctc_test import TwoBlocks

V, EOS, BLANK = 2, 2, 3  # of the head's own symbols
LENGTHS = torch.tensor([4, 3, 4, 2])
LABELS = torch.tensor([[0, 1], [1, 1], [1, 0], [0, 0]])
LABEL_LENGTHS = torch.tensor([2, 1, 0, 2])
Strings = dict[tuple[int, ...], float]


def make(eos: bool = True) -> CtcHead:
    torch.manual_seed(0)
    return CtcHead(TwoBlocks(), Vocabulary(["a", "b"]), 1.0, dropout=0.0, eos=eos).eval()


def encoded() -> Encoded:
    torch.manual_seed(1)
    return Encoded(3 * torch.randn(4, 4, 4), LENGTHS)


def summed(log_probs: Tensor, length: int, blanks: set[int], ignored: set[int]) -> Strings:
    """Returns the probability of every string, by enumeration of all paths."""
    found: Strings = {}
    for path in itertools.product(range(V + 2), repeat=length):
        if ignored & set(path):
            continue
        said = [BLANK if symbol in blanks else symbol for symbol in path]
        string = tuple(symbol for symbol, _ in itertools.groupby(said) if symbol != BLANK)
        score = sum(float(log_probs[t, s]) for t, s in enumerate(path))
        found[string] = found.get(string, 0.0) + math.exp(score)
    return found


def test_the_loss_sums_over_all_paths_that_end_in_eos() -> None:
    head, seen = make(), encoded()
    batch = Batch(list("abcd"), torch.zeros(4, 9), LENGTHS, LABELS, LABEL_LENGTHS)
    report = head.loss(seen, batch)
    symbols = head.symbol_log_probs(seen).detach()
    assert symbols.shape == (4, 4, V + 2)
    assert report["loss"].per_utterance is not None
    for row, loss in enumerate(report["loss"].per_utterance.tolist()):
        exact = summed(symbols[row], int(LENGTHS[row]), {BLANK}, set())
        target = (*LABELS[row, : int(LABEL_LENGTHS[row])].tolist(), EOS)
        expected = -math.log(exact[target]) if target in exact else math.inf
        assert loss == pytest.approx(expected, abs=1e-5)
    assert report["loss"].count == 5 + 4
    assert float(report["infeasible"].total) == 1.0


def test_fewest_frames_count_eos() -> None:
    for labels in ([], [0], [0, 0], [0, 1, 0]):
        sequence, size = torch.tensor([labels]).long(), torch.tensor([len(labels)])
        expected = int(min_frames(*appended(sequence, size, EOS)))
        assert make().min_frames(labels) == expected
        assert make(eos=False).min_frames(labels) == int(min_frames(sequence, size))


def test_searches_see_a_distribution_in_which_eos_is_blank() -> None:
    head, seen = make(), encoded()
    frames = head.frame_scores(seen).log_probs
    torch.testing.assert_close(frames.exp().sum(2), torch.ones(4, 4))
    symbols = head.symbol_log_probs(seen)
    torch.testing.assert_close(frames[..., :V], symbols[..., :V])
    torch.testing.assert_close(frames[..., V].exp(), symbols[..., EOS:].exp().sum(2))
    assert all(label < V for row in greedy_labels(frames, LENGTHS) for label in row)


class OneHead:
    """A loader of one head."""

    vocabulary = Vocabulary(["a", "b"])

    def __init__(self, head: Any) -> None:
        self.only = head

    def head(self, name: str, run: Any, checkpoint: str) -> FoundHead:
        return FoundHead(self.only, f"the {type(self.only).__name__}")


@pytest.mark.parametrize("mask_eos", [True, False])
def test_all_searches_find_the_best_string_of_all(mask_eos: bool) -> None:
    entry = CtcScorer(1.0, mask_eos=mask_eos)
    searches = [
        LabelSyncSearch({"ctc": entry}, 40, nbest=3),
        CtcPrefixBeamSearch(40, {"ctc": entry}),
        TimeSyncSearch({"ctc": entry}, 200, "ctc", "sum", "string_and_symbol"),
    ]
    head, seen = make(), encoded()
    symbols = head.symbol_log_probs(seen).detach()
    blanks, ignored = ({EOS, BLANK}, set()) if mask_eos else ({BLANK}, {EOS})
    for search in searches:
        with torch.no_grad():
            found = search.load(OneHead(head)).run(seen)  # type: ignore[arg-type]
        for row, n_best in enumerate(found):
            exact = summed(symbols[row], int(LENGTHS[row]), blanks, ignored)
            assert n_best[0].score == pytest.approx(math.log(max(exact.values())), abs=1e-4)
            for hypothesis in n_best[:3]:
                expected = math.log(exact[tuple(hypothesis.labels)])
                assert hypothesis.score == pytest.approx(expected, abs=1e-4)


def test_a_head_without_eos_has_none_to_lose() -> None:
    search = CtcPrefixBeamSearch(4, {"ctc": CtcScorer(1.0, mask_eos=False)})
    with pytest.raises(UserError, match="trained with `eos: true`"):
        search.load(OneHead(make(eos=False)))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the object has frames .* expected a CTC head that was tr"):
        search.load(OneHead(object()))  # type: ignore[arg-type]
