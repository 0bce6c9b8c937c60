"""`asrkit chain`: tied states and a phone n-gram for LF-MMI, of alignments or of transcripts."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.data.alignments import Alignments
from asrkit.data.cuts import text_of
from asrkit.data.feature_sets import has_only_features, read_features
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import open_set
from asrkit.data.transcripts import with_transcripts
from asrkit.errors import UserError
from asrkit.hmm.alignments import Alignment, phone_arrays, read_alignments
from asrkit.hmm.biphones import biphone_tree
from asrkit.hmm.chain import (
    TOPOLOGY,
    chain_alignment,
    chain_transitions,
    chain_tree,
    denominator_of,
)
from asrkit.hmm.denominator_file import write_denominator
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.hmm_folder import Hmm, digest_of, read_hmm
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.phone_ngram import phone_ngram
from asrkit.hmm.said_graphs import drawn_phones
from asrkit.hmm.topology import Phones
from asrkit.hmm.tree import Tree
from asrkit.losses.mmi_graphs import Denominator
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import Outputs

log = logging.getLogger(__name__)

PAUSE = 0.2
"""Probability of silence between words where nothing is aligned."""
DRAWS = 5
"""How often each transcript is said at random for the phone n-gram: with silence, and without."""
Set = dict[tuple[str, float], Alignment]


@dataclass(frozen=True)
class ChainSettings:
    """What tied states and n-grams there are.

    Args:
        states: Tied states; fewer where speech is short.
        step: Frames of features in a frame that the network scores.
        order: Phones of the longest n-grams.
        extra: So many histories of the longest n-grams are kept, besides all of two phones.

    Raises:
        UserError: If a number is impossible.
    """

    states: int = 2000
    step: int = 3
    order: int = 4
    extra: int = 2000

    def __post_init__(self) -> None:
        if self.states < 2 or self.step < 1 or self.order < 3 or self.extra < 0:
            raise UserError(
                f"expected states >= 2, a step >= 1, an order >= 3 and extra >= 0; got {self}"
            )


@dataclass(frozen=True)
class ChainReport:
    """New tied states and what they can say.

    Args:
        run: Where they are.
        states: Tied states.
        histories: Of the phone n-gram.
        arcs: Of the phone n-gram.
        utterances: Of all sets.
        aligned: Whether they are aligned.
    """

    run: Path
    states: int
    histories: int
    arcs: int
    utterances: int
    aligned: bool = True

    def lines(self) -> list[str]:
        """Returns the report as text."""
        return [
            f"{self.run}: {self.states:,} tied states, {self.histories:,} histories and "
            f"{self.arcs:,} arcs of phones, {self.utterances:,} "
            f"{'aligned utterances' if self.aligned else 'transcripts'}"
        ]


def chain(
    run: Path,
    source: Path,
    data: Path,
    train: Sequence[str],
    dev: Sequence[str],
    settings: ChainSettings,
) -> ChainReport:
    """Makes what LF-MMI learns from: RUN/hmm, and RUN/align of each set.

    Args:
        run: New folder, for data.alignments.
        source: Run whose `asrkit align` has aligned the words of all sets.
        data: Data folder with ready-made features, by which states are tied.
        train: Sets that are trained on.
        dev: Further sets that get alignments.
        settings: Numbers of states and n-grams.

    Raises:
        UserError: If something is missing, or the sets have no features.
    """
    hmm = read_hmm(RunFolder(source).hmm)
    sets = {name: dict(read_alignments(RunFolder(source).frames(name))) for name in (*train, *dev)}
    pairs = [pair for name in train for pair in _with_features(data, name, sets[name])]
    if not pairs:
        raise UserError(f"{data}: no utterance of {', '.join(train)} has alignment and features")
    phones = hmm.tree.phones
    tree = chain_tree(phones, pairs, settings.states, settings.step)
    said = [found.phones.tolist() for found, _ in pairs]
    folder = RunFolder(run)
    transitions = chain_transitions(tree)
    Hmm(tree, TOPOLOGY, transitions, hmm.lexicon, hmm.silence).write(folder.hmm)
    denominator = _denominator(said, tree, settings)
    write_denominator(denominator, folder.hmm)
    digest = digest_of(folder.hmm)
    targets = FrameTargets(Outputs.states(tree.num_states), rate="features")
    for name, found in sets.items():
        made = {key: chain_alignment(one, tree) for key, one in sorted(found.items())}
        symbols = Alignments(targets, tree=digest)
        for (utterance, speed), one in made.items():
            symbols.add(utterance, speed, one.states)
        symbols.write(folder.frames(name), phone_arrays(list(made.values())))
    count = sum(map(len, sets.values()))
    sizes = len(denominator.stays), len(denominator.states)
    return ChainReport(run, tree.num_states, *sizes, count)


def flat_chain(
    run: Path, lexicon: Path, data: Path, train: Sequence[str], order: int, extra: int
) -> ChainReport:
    """Makes what LF-MMI learns from without alignments: RUN/hmm, by transcripts and lexicon.

    Tied states are all pairs of phones that are said. Words without pronunciation are noise.

    Args:
        run: New folder, for data.alignments.
        lexicon: How words are pronounced.
        data: Data folder.
        train: Sets that are trained on.
        order: Phones of the longest n-grams.
        extra: Histories of the longest n-grams.

    Raises:
        UserError: If there are no transcripts, or no word has a pronunciation.
    """
    settings = ChainSettings(order=order, extra=extra)
    texts = [
        words
        for name in train
        for cut in with_transcripts(open_set(data, [name]), name, "graphs of phones")
        if (words := text_of(cut).split())
    ]
    known = read_lexicon(lexicon)
    log.info("%s: %s", lexicon, known.coverage(word for words in texts for word in words).told())
    known = known.restricted(word for words in texts for word in words)
    phones, draw = Phones(known.phones), random.Random(1)
    compiler = GraphCompiler(known, phones, PAUSE, unknown_as_noise=True)
    said = [drawn_phones(compiler, words, draw) for words in texts for _ in range(DRAWS)]
    tree = biphone_tree(phones, said)
    folder, denominator = RunFolder(run), _denominator(said, tree, settings)
    Hmm(tree, TOPOLOGY, chain_transitions(tree), known, PAUSE).write(folder.hmm)
    write_denominator(denominator, folder.hmm)
    sizes = len(denominator.stays), len(denominator.states)
    return ChainReport(run, tree.num_states, *sizes, len(texts), aligned=False)


def _denominator(said: Sequence[Sequence[int]], tree: Tree, settings: ChainSettings) -> Denominator:
    """Returns all that an n-gram of phones can say."""
    return denominator_of(phone_ngram(said, settings.order, extra=settings.extra), tree)


def _with_features(
    data: Path, name: str, found: Set
) -> list[tuple[Alignment, NDArray[np.float32]]]:
    """Returns the alignments of a set with the features (T, F) of their utterances."""
    pairs, without = [], 0
    for cut in open_set(data, [name]):
        if not has_only_features(cut):
            raise UserError(
                f"{name} of {data} has audio, expected ready-made features, such as those of "
                "`asrkit features`"
            )
        one = found.get((cut.id, 1.0))
        features = None if one is None else read_features(cut)
        if one is None or features is None or len(features) != len(one):
            without += 1
            continue
        pairs.append((one, features))
    if without:
        log.warning("%s: %d utterances have no alignment of their frames", name, without)
    return pairs
