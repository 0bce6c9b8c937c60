"""How words are spelled in the labels of a CTC output, as pronunciations of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrkit.errors import UserError
from asrkit.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Spellings:
    """The words that a tokenizer can write.

    Args:
        words: The words.
        labels: The labels of each.
        left_out: Words with characters that it lacks.
    """

    words: list[str]
    labels: list[list[int]]
    left_out: list[str]


def spellings(words: Sequence[str], tokenizer: Tokenizer) -> Spellings:
    """Returns how words are spelled.

    Raises:
        UserError: If the tokenizer can write none, or spells words otherwise within a sentence.
    """
    found = {word: tokenizer.encode_if_known(word) for word in words}
    known = {word: labels for word, labels in found.items() if labels}
    left_out = [word for word in words if word not in known]
    if not known:
        raise UserError(
            f"the tokenizer can write none of the {len(words)} words of the language model, such "
            f"as {', '.join(words[:3])}: normalise its text as the transcripts are"
        )
    for first, second in zip([*known][:50], [*known][1:51], strict=False):
        if tokenizer.encode(f"{first} {second}") != known[first] + known[second]:
            raise UserError(
                f"the tokenizer spells {first!r} and {second!r} otherwise when they follow each "
                "other, so that no graph can be made of words; expected one of BPE or unigram "
                "units, or of words"
            )
    return Spellings([*known], [*known.values()], left_out)
