"""Graphs of transcripts against all ways to say them, one by one."""

from __future__ import annotations

import random
from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.hmm.biphones import biphone_tree
from asrkit.hmm.chain import begins_of, denominator_of
from asrkit.hmm.phone_ngram import phone_ngram
from asrkit.hmm.said_graphs import SaidGraphs, drawn_phones
from asrkit.losses.mmi import Chunk, mmi_loss
from asrkit.losses.mmi_graphs import Denominator
from tests.hmm.toy import COMPILER, LEXICON, PHONES

WORDS = ["ca", "d"]
FRAMES = 5


def spoken() -> list[list[int]]:
    """Phones of ways to say some transcripts."""
    draw = random.Random(2)
    texts = [WORDS, ["d", "ab"], ["ca"]]
    return [drawn_phones(COMPILER, words, draw) for words in texts for _ in range(12)]


@pytest.fixture(scope="module")
def denominator() -> Denominator:
    """What an n-gram of these can say."""
    said = spoken()
    return denominator_of(phone_ngram(said, extra=3), biphone_tree(PHONES, said))


def all_ways() -> set[tuple[int, ...]]:
    """Phones of every way to say the transcript."""
    silence = PHONES.ids["SIL"]
    found = set()
    for variants in product(*(LEXICON[word] for word in WORDS)):
        for pauses in product((False, True), repeat=len(WORDS) + 1):
            phones = [silence] * pauses[0]
            for variant, pause in zip(variants, pauses[1:], strict=True):
                phones += [PHONES.ids[phone] for phone in variant.phones] + [silence] * pause
            found.add(tuple(phones))
    return found


def enumerated(given: Denominator, scores: Tensor) -> Tensor:
    """The log of the sum over all ways and times to say the transcript."""
    terms = []
    for phones in all_ways():
        for begins in combinations(range(1, len(scores)), len(phones) - 1):
            weight, history, value = float(given.initial[0]), 0, scores.new_zeros(())
            bounds = [0, *begins, len(scores)]
            for phone, begin, end in zip(phones, bounds, bounds[1:], strict=False):
                arc = given.arc(history, phone)
                if arc is None:
                    weight = 0.0
                    break
                weight *= float(given.weights[arc])
                history = int(given.targets[arc])
                value = value + scores[begin, int(given.states[arc])]
                for t in range(begin + 1, end):
                    weight *= float(given.stay_weights[history])
                    value = value + scores[t, int(given.stays[history])]
            if weight:
                terms.append(value + float(np.log(weight)))
    assert len(terms) > 10
    return torch.stack(terms).logsumexp(0)


def scores_of(given: Denominator, frames: int = FRAMES) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (1, frames, given.num_states)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def test_a_graph_is_all_ways_to_say_a_transcript(denominator: Denominator) -> None:
    scores = scores_of(denominator).requires_grad_()
    expected = enumerated(denominator, scores[0])
    expected.backward()
    graph = SaidGraphs(COMPILER, denominator)(WORDS)
    assert graph is not None
    posteriors = np.zeros(scores.shape[1:])
    total = graph.sum(scores[0].detach().numpy(), posteriors)
    assert total == pytest.approx(expected.item(), abs=1e-9)
    assert scores.grad is not None
    torch.testing.assert_close(torch.from_numpy(posteriors), scores.grad[0])


def test_the_loss_has_the_gradient_of_finite_differences(denominator: Denominator) -> None:
    graph = SaidGraphs(COMPILER, denominator)(WORDS)
    lengths = torch.tensor([4])

    def loss(scores: Tensor) -> Tensor:
        return mmi_loss(scores, lengths, [Chunk(graph, 0)], denominator, 0.1)[0]

    scores = scores_of(denominator, 4).requires_grad_()
    assert torch.autograd.gradcheck(loss, scores)
    assert loss(scores).item() > 0


def test_what_has_no_path_has_no_loss(denominator: Denominator) -> None:
    make = SaidGraphs(COMPILER, denominator)
    assert make(["unknown"]) is None
    graphs = [make(WORDS), make(["ab", "ab"]), None]  # of too many phones; of no n-gram; unknown
    scores = scores_of(denominator, 2).expand(3, -1, -1).clone().requires_grad_()
    chunks = [Chunk(graph, 0) for graph in graphs]
    loss, posteriors = mmi_loss(scores, torch.tensor([2, 2, 2]), chunks, denominator, 0.1)
    loss.sum().backward()
    assert loss.tolist() == [0, 0, 0]
    assert not posteriors.any()
    assert scores.grad is not None
    assert not scores.grad.any()


def test_every_pair_of_phones_that_was_said_has_its_states() -> None:
    said = spoken()
    tree = biphone_tree(PHONES, said)
    pairs = sorted({pair for one in said for pair in zip([0, *one], one, strict=False)})
    left, phone = np.array(pairs).T
    speech = phone > 2
    states = [
        tree.look_up(left[speech], phone[speech], left[speech] * 0, left[speech] * 0 + at)
        for at in range(2)
    ]
    together = np.concatenate(states)
    assert len(set(together.tolist())) == len(together)
    begins = begins_of(tree)
    assert begins[states[0]].all()
    assert not begins[states[1]].any()
    # Silence asks for nothing; a phone after one that was never before it has known states.
    silence = tree.look_up(left, np.ones_like(left), left * 0, left * 0)
    assert len(set(silence.tolist())) == 1
    d = PHONES.ids["D"]
    never = next(p for p in range(len(PHONES)) if (p, d) not in pairs)
    unseen = tree.look_up(np.array([never]), np.array([d]), np.array([0]), np.array([0]))
    assert unseen[0] in states[0]
