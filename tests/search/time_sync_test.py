"""Searches over frames with label scorers, against enumeration of all alignments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.scorers.ctc import FrameChanges, collapse_blanks
from asrkit.scorers.length_reward import length_reward
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.time_sync import TimeSyncSearch
from tests.search.search_test import (
    Frames,
    Head,
    V,
    as_pairs,
    collapse,
    only,
    random_case,
    string_probabilities,
)

SCORERS = {"ctc": 0.4, "attention": 0.7, "lm": -0.3}
Score = Callable[[tuple[int, ...]], float]


def heads_of(frames: Frames, tables: Tensor, others: Tensor) -> dict[str, Any]:
    return {"ctc": Head(frames), "attention": Head(frames, tables), "lm": Head(frames, others)}


def label_score(table: Tensor, other: Tensor, eos: bool, labels: tuple[int, ...]) -> float:
    steps = itertools.pairwise((V, *labels, V) if eos else (V, *labels))
    return sum(0.7 * float(table[a, b]) - 0.3 * float(other[a, b]) for a, b in steps)


def path_score(frame: Tensor, path: tuple[int, ...], scaled: bool, term: bool) -> float:
    """The frames' part of an alignment's score."""
    total, last = 0.0, V
    for step, symbol in zip(frame.tolist(), path, strict=True):
        if symbol != V and symbol != last:
            said = math.exp(step[V]) + (math.exp(step[last]) if last != V else 0.0)
            total += 0.4 * step[symbol] + (math.log(max(1 - said, 1e-20)) if term else 0.0)
        else:
            total += (0.4 if scaled else 1.0) * step[symbol]
        last = symbol
    return total


def enumerated(
    frame: Tensor, labels: Score, scaled: bool, term: bool, add: bool
) -> dict[tuple[int, ...], float]:
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(V + 1), repeat=len(frame)):
        string = collapse(path)
        total = path_score(frame, path, scaled, term)
        if string in found:
            old = found[string]
            total = math.log(math.exp(old) + math.exp(total)) if add else max(old, total)
        found[string] = total
    return {string: total + labels(string) for string, total in found.items()}


@pytest.mark.parametrize("recombination", ["max", "sum", "none"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("eos", "term"), [(True, False), (False, False), (True, True)])
def test_wide_beams_equal_enumeration(
    recombination: Any, scaled: bool, eos: bool, term: bool
) -> None:
    for seed in range(3):
        frames, tables = random_case(seed, [4, 3, 1])
        others = random_case(seed + 50, [4, 3, 1])[1]
        search = TimeSyncSearch(
            SCORERS, 400, "ctc", recombination, "string_and_symbol", scaled, term, eos
        )
        found = search.over(heads_of(frames, tables, others)).run(frames)
        for row, n_best in enumerate(found):
            frame = frames.log_probs[row, : int(frames.lengths[row])]
            labels = partial(label_score, tables[row], others[row], eos)
            exact = enumerated(frame, labels, scaled, term, recombination == "sum")
            assert {tuple(h.labels) for h in n_best} == exact.keys()
            assert n_best[0].score == pytest.approx(max(exact.values()), abs=1e-4)
            for hypothesis in n_best:
                assert hypothesis.score == pytest.approx(exact[tuple(hypothesis.labels)], abs=1e-4)
                total = sum(w * hypothesis.scores[name] for name, w in SCORERS.items())
                if scaled and not term:
                    assert hypothesis.score == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("term", [False, True])
def test_scores_by_name_do_not_depend_on_the_weights(term: bool) -> None:
    frames, tables = random_case(8, [4, 3])
    heads: dict[str, Any] = {"ctc": Head(frames), "attention": Head(frames, tables)}
    weights = {"ctc": 0.7, "attention": 0.5}
    search = TimeSyncSearch(weights, 400, "ctc", emission_term=term, merge="string_and_symbol")
    for row, n_best in enumerate(search.over(heads).run(frames)):
        frame = frames.log_probs[row, : int(frames.lengths[row])].tolist()
        for hypothesis in n_best:
            # Those of some alignment of the string: only new labels have a weight.
            scores, found = hypothesis.scores, []
            for path in itertools.product(range(V + 1), repeat=len(frame)):
                if collapse(path) == tuple(hypothesis.labels):
                    emits = [s != V and (t == 0 or path[t - 1] != s) for t, s in enumerate(path)]
                    found.append(sum(frame[t][s] for t, s in enumerate(path) if emits[t]))
            assert min(abs(scores["ctc"] - value) for value in found) < 1e-4


def plain_search(frame: Tensor, labels: Tensor, beam_size: int) -> list[tuple[int, ...]]:
    """The published search of one utterance, with dictionaries: max by label string alone."""
    beam: dict[tuple[int, ...], tuple[float, int]] = {(): (0.0, V)}
    for step in frame.tolist():
        every = []
        for string, (total, last) in beam.items():
            for symbol in range(V + 1):
                if symbol in (V, last):
                    every.append((total + step[symbol], string, symbol))
                else:
                    before = string[-1] if string else V
                    gain = 0.4 * step[symbol] + 0.6 * float(labels[before, symbol])
                    every.append((total + gain, (*string, symbol), symbol))
        beam = {}
        for total, string, symbol in sorted(every, key=lambda entry: -entry[0])[:beam_size]:
            beam.setdefault(string, (total, symbol))
    ended = {
        string: total + 0.6 * float(labels[string[-1] if string else V, V])
        for string, (total, _) in beam.items()
    }
    return sorted(ended, key=lambda string: -ended[string])


@pytest.mark.parametrize("beam_size", [2, 3, 6])
def test_narrow_beams_keep_what_the_published_search_keeps(beam_size: int) -> None:
    for seed in range(10):
        torch.manual_seed(seed)
        lengths = torch.tensor([9, 6])
        frames = Frames((2 * torch.randn(2, 9, V + 1)).log_softmax(2), lengths)
        tables = torch.randn(2, V + 1, V + 1).log_softmax(2)
        search = TimeSyncSearch({"ctc": 0.4, "attention": 0.6}, beam_size)
        found = search.over({"ctc": Head(frames), "attention": Head(frames, tables)}).run(frames)
        for row, n_best in enumerate(found):
            expected = plain_search(
                frames.log_probs[row, : int(lengths[row])], tables[row], beam_size
            )
            assert [tuple(h.labels) for h in n_best] == expected


def test_label_sync_prefix_beam_and_enumeration_agree() -> None:
    weights = {"ctc": 0.4, "attention": 0.6}
    for seed in range(10):
        frames, tables = random_case(seed, [4, 3, 2])
        heads: dict[str, Any] = {"ctc": Head(frames), "attention": Head(frames, tables)}
        by_frame = CtcPrefixBeamSearch(60, weights).over(heads).run(frames)
        by_label = LabelSyncSearch(weights, 40, pre_beam=V).over(heads).run(frames)
        for row in range(3):
            exact = string_probabilities(frames, row)
            best = by_frame[row][0]
            steps = itertools.pairwise((V, *best.labels, V))
            bigram = sum(float(tables[row][a, b]) for a, b in steps)
            total = 0.4 * math.log(exact[tuple(best.labels)]) + 0.6 * bigram
            assert best.score == pytest.approx(total, abs=1e-4)
            assert best.labels == by_label[row][0].labels
            assert best.score == pytest.approx(by_label[row][0].score, abs=1e-4)


@pytest.mark.parametrize("kind", ["time_sync", "prefix"])
def test_a_batch_finds_what_single_utterances_find(kind: str) -> None:
    frames, tables = random_case(3, [4, 1, 3, 2])
    weights = {"ctc": 0.4, "attention": 0.6}
    search = TimeSyncSearch(weights, 3) if kind == "time_sync" else CtcPrefixBeamSearch(3, weights)
    together = search.over({"ctc": Head(frames), "attention": Head(frames, tables)}).run(frames)
    for row in range(4):
        alone, table = only(frames, row), tables[row : row + 1]
        heads = {"ctc": Head(alone), "attention": Head(alone, table)}
        assert as_pairs(search.over(heads).run(alone)[0]) == as_pairs(together[row])


def test_weights_of_zero_are_absent_scorers() -> None:
    frames, tables = random_case(5, [4, 3])
    heads = {"ctc": Head(frames), "attention": Head(frames, tables)}
    without = TimeSyncSearch({"ctc": 1.0}, 4).over(heads).run(frames)
    with_zero = TimeSyncSearch({"ctc": 1.0, "attention": 0.0}, 4).over(heads).run(frames)
    assert [as_pairs(n) for n in without] == [as_pairs(n) for n in with_zero]
    with pytest.raises(ValueError, match="at least one weight must not be 0"):
        TimeSyncSearch({"ctc": 0.0}, 4)
    with pytest.raises(ValueError, match="frames \\(ctc\\) must be one of the scorers"):
        TimeSyncSearch({"attention": 1.0}, 4)


def test_a_length_reward_adds_its_weight_for_every_label() -> None:
    frames, tables = random_case(6, [4, 3])
    heads: dict[str, Any] = {"attention": Head(frames, tables), "length": length_reward(V)}
    plain = LabelSyncSearch({"attention": 1.0}, 40, length_reward=0.7).over(heads).run(frames)
    entry = LabelSyncSearch({"attention": 1.0, "length": 0.7}, 40).over(heads).run(frames)
    assert [n[0].labels for n in plain] == [n[0].labels for n in entry]
    for one, other in zip(plain, entry, strict=True):
        assert one[0].score == pytest.approx(other[0].score, abs=1e-4)
        assert other[0].scores["length"] == len(other[0].labels)


def test_priors_leave_every_frame_a_distribution() -> None:
    frames, _ = random_case(7, [4, 2])
    prior = torch.tensor([0.5, 0.2, 0.3]).log()
    changed = FrameChanges(prior=0.6 * prior)(frames.log_probs, frames.lengths)
    torch.testing.assert_close(changed.log_probs.exp().sum(2), torch.ones(2, 4))
    odds = changed.log_probs - changed.log_probs[..., :1]
    before = frames.log_probs - frames.log_probs[..., :1]
    torch.testing.assert_close(odds, before - 0.6 * (prior - prior[0]))
    penalised = FrameChanges(blank_penalty=0.5)(frames.log_probs, frames.lengths).log_probs
    difference = frames.log_probs - penalised
    torch.testing.assert_close(difference[..., -1], torch.full((2, 4), 0.5))
    assert (difference[..., :-1] == 0).all()


def test_runs_of_blanks_collapse_to_one_and_edges_to_none() -> None:
    blank = [0.01, 0.01, 0.98]
    spoken = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]]
    rows = [
        [blank, spoken[0], blank, blank, spoken[1], spoken[0], blank, blank],
        [blank, blank, blank, spoken[0], spoken[0], spoken[0], spoken[0], spoken[0]],
    ]
    log_probs = torch.tensor(rows).log()
    shorter, lengths = collapse_blanks(log_probs, torch.tensor([8, 3]), 0.95)
    assert lengths.tolist() == [4, 1]
    kept = shorter[0, :4].argmax(1).tolist()
    assert kept == [0, 2, 1, 0]
    assert shorter.shape[1] == 4
