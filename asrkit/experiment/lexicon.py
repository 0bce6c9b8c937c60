"""`asrkit lexicon`: pronunciations of all words of transcripts and texts, and which lack one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.data.cuts import text_of
from asrkit.data.manifests import open_set
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.experiment.ngram import all_texts
from asrkit.files import write_lines
from asrkit.hmm.alignments import read_alignments
from asrkit.hmm.g2p import train_g2p
from asrkit.hmm.hmm_folder import read_hmm
from asrkit.hmm.lexicon import Coverage, Lexicon, grapheme_lexicon
from asrkit.hmm.lexicon_files import Format, cmudict, read_lexicon
from asrkit.hmm.pronunciations import (
    LearntPronunciations,
    Phones,
    learnt,
    pronunciations_in,
)
from asrkit.run_folder import RunFolder
from asrkit.text.normalization import normalized

CMUDICT, GRAPHEMES = "cmudict", "graphemes"
"""Names of sources that are not files."""


@dataclass(frozen=True)
class LexiconReport:
    """A new lexicon.

    Args:
        path: Its file.
        lexicon: What is in it.
        known: Which words the source has.
        guessed: How many words the G2P model pronounces.
        coverage: Which words have a pronunciation in the end.
        missing: File of the words that have none.
        learnt: What alignments say of probabilities, if there are any.
    """

    path: Path
    lexicon: Lexicon
    known: Coverage
    guessed: int
    coverage: Coverage
    missing: Path
    learnt: LearntPronunciations | None = None

    def lines(self) -> list[str]:
        """Returns the report as text."""
        pronunciations = sum(map(len, self.lexicon.values()))
        source = self.known.words - len(self.known.missing)
        told = [
            f"{self.path}: {len(self.lexicon)} words, {pronunciations} pronunciations, "
            f"{len(self.lexicon.phones)} phones",
            f"{source} words are from {self.lexicon.source}, {self.guessed} from G2P",
            self.coverage.told(),
        ]
        if self.learnt is not None:
            told.append(self.learnt.told())
        if self.coverage.missing:
            told.append(f"they can't be recognised; all of them: {self.missing}")
        return told


def lexicon(
    data: Path,
    sets: Sequence[str],
    texts: Sequence[Path],
    source: str,
    name: str,
    size: int | None = None,
    format: Format = "auto",
    stress: bool = False,
    g2p: bool = False,
    variants: int = 1,
    alignments: Path | None = None,
) -> LexiconReport:
    """Writes DATA/lexicon/NAME.txt with the pronunciations of the words of sets and texts.

    Args:
        data: Data folder, with manifests/.
        sets: Whose transcripts' words are pronounced.
        texts: Files with a sentence on each line, plain or compressed (.gz, .xz).
        source: "cmudict", "graphemes", or the path of a lexicon.
        name: Of the lexicon.
        size: Number of most frequent words to use; all of them where null.
        format: Of the lexicon's file; see `asrkit.hmm.lexicon_files.read_lexicon`.
        stress: Whether vowels keep the digits of their stress.
        g2p: Whether words that the source lacks are pronounced by a model of its spelling.
        variants: How many pronunciations of such a word at most.
        alignments: Run folder whose alignments of the sets tell how likely pronunciations are.

    Raises:
        UserError: If there is no text, a file or set is missing, or no word is known.
    """
    if not sets and not texts:
        raise UserError("a lexicon needs words: name a set (--set) or a text file (--text)")
    counts = Counter(w for text in all_texts(data, sets, texts) for w in normalized(text).split())
    words = dict(counts.most_common(size))
    given = _source(source, list(words), format, stress)
    own = given.restricted(words)
    known, found, places = own.coverage(words), own, DataFolder(data)
    if g2p and known.missing:
        model = train_g2p(given)
        model.write(places.g2p(name))
        found = own.joined(model.lexicon((word for word, _ in known.missing), variants))
    learning = None
    if alignments is not None:
        learning = learnt(found, _heard(RunFolder(alignments), data, sets))
        found = learning.lexicon
    report = LexiconReport(
        places.lexicon(name),
        found,
        known,
        len(found) - len(own),
        found.coverage(words),
        places.without_pronunciation(name),
        learning,
    )
    found.write(report.path)
    write_lines(report.missing, (f"{word} {count}" for word, count in report.coverage.missing))
    return report


def _heard(run: RunFolder, data: Path, sets: Sequence[str]) -> Counter[tuple[str, Phones]]:
    """Returns how often words of sets were said with phones, by the alignments of a run.

    Raises:
        UserError: If no set is named, or one is not aligned in words and phones.
    """
    if not sets:
        raise UserError("alignments (--alignments) are of sets: name them (--set)")
    names, found = read_hmm(run.hmm).tree.phones.names, Counter[tuple[str, Phones]]()
    for name in sets:
        path = run.frames(name)
        aligned = read_alignments(path)
        for cut in open_set(data, [name]):
            one = aligned.get((cut.id, 1.0))
            words = text_of(cut).split()
            if one is not None and one.words.max(initial=-1) < len(words):
                found.update(pronunciations_in(one, words, names))
    if not found:
        raise UserError(
            f"{run.path} has aligned no utterance of {', '.join(sets)}: are its sets others?"
        )
    return found


def _source(source: str, words: Sequence[str], format: Format, stress: bool) -> Lexicon:
    if source == GRAPHEMES:
        return grapheme_lexicon(words)
    if source == CMUDICT:
        return cmudict(stress=stress).written_as(words)
    return read_lexicon(Path(source), format, stress=stress).written_as(words)
