"""How likely each pronunciation of a word is: how often alignments say that it was heard.

Probabilities are relative to the likeliest pronunciation of a word.

Source: Chen et al. 2015, "Pronunciation and silence probability modeling for ASR"; kaldi-asr/kaldi,
egs/wsj/s5/utils/dict_dir_add_pronprobs.sh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from asrkit.hmm.alignments import Alignment
from asrkit.hmm.lexicon import Lexicon

Phones = tuple[str, ...]
SMOOTHING = 1.0
"""Added to the count of every pronunciation, times its probability before."""


@dataclass(frozen=True)
class LearntPronunciations:
    """A lexicon whose probabilities were learnt.

    Args:
        lexicon: The lexicon.
        words: How many of its words have several pronunciations and were heard.
        heard: How often these were heard.
        changed: How many of these words have another pronunciation as their likeliest than before.
        others: How often words were said with phones that the lexicon does not have for them.
    """

    lexicon: Lexicon
    words: int
    heard: int
    changed: int
    others: int

    def told(self) -> str:
        """Returns the report as a sentence."""
        others = f"; {self.others} words were said in other ways, which don't count"
        return (
            f"{self.words} words with several pronunciations were heard {self.heard} times; "
            f"{self.changed} have another likeliest one than before{others if self.others else ''}"
        )


def pronunciations_in(
    alignment: Alignment, words: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, Phones]]:
    """Yields the words of an utterance, with their phones.

    Args:
        alignment: Tells which phones belong to which word.
        words: The transcript.
        names: Of the phones, by number.
    """
    pairs = zip(alignment.words.tolist(), alignment.phones.tolist(), strict=True)
    for place, phones in groupby(pairs, key=lambda pair: pair[0]):
        if place >= 0:
            yield words[place], tuple(names[phone] for _, phone in phones)


def learnt(lexicon: Lexicon, heard: Mapping[tuple[str, Phones], int]) -> LearntPronunciations:
    """Returns a lexicon with probabilities by how often pronunciations were heard.

    Words that were never heard keep theirs.
    """
    entries, words, total, changed = dict(lexicon), 0, 0, 0
    for word, known in lexicon.items():
        counts = [heard.get((word, one.phones), 0) for one in known]
        if len(known) < 2 or not any(counts):
            continue
        before = [one.probability for one in known]
        shares = [n + SMOOTHING * p for n, p in zip(counts, before, strict=True)]
        factor = max(before) / max(shares)
        entries[word] = tuple(
            replace(one, probability=factor * share)
            for one, share in zip(known, shares, strict=True)
        )
        words, total = words + 1, total + sum(counts)
        changed += before.index(max(before)) != shares.index(max(shares))
    here = {(word, one.phones) for word, found in lexicon.items() for one in found}
    others = sum(n for key, n in heard.items() if key[0] in lexicon and key not in here)
    return LearntPronunciations(Lexicon(entries, lexicon.source), words, total, changed, others)
