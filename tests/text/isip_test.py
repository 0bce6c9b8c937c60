from __future__ import annotations

import pytest

from asrkit.text.isip import NotationError, spelled_by, words_of

CASES = {
    "[silence]": "",
    "[noise] [laughter] [vocalized-noise]": "",
    "[Vocalized-Noise] yes": "yes",
    "<b_aside> come here <e_aside> so": "come here so",
    "[laughter-yeah]": "yeah",
    "[laughter-I'm] glad": "i'm glad",
    "f[or]- for": "f- for",
    "wor[d]-": "wor-",
    "wor[d]": "wor-",
    "u[se]- we used": "u- we used",
    "-[ex]cept": "-cept",
    "[ex]cept": "-cept",
    "ammu[n]it-": "ammu-it-",
    "[it'n/isn't]": "it'n",
    "[this/that]": "this",
    "[lem[guini]-/linguini]": "lem-",
    "[laughter-[this/that]]": "this",
    "[laughter-wor[d]-]": "wor-",
    "[laughter-wor[d]]-": "wor-",
    "ex[specially]-/especially]": "ex-",
    "{yuppiedom}": "yuppiedom",
    "wor[d]-_1": "wor-",
    "<B_aside>hi<e_aside> you": "hi you",
    "them_1": "them",
    "them_1's a_1": "them's a",
    "CBS and TVs": "c b s and t v's",
    "AT&T R&D": "a t and t r and d",
    "IBM's plan": "i b m's plan",
    "I Murphy Brown": "i murphy brown",
    "I- uh-huh": "i- uh-huh",
    "IB[M]-": "i b-",
    "": "",
}


@pytest.mark.parametrize(("transcript", "words"), CASES.items())
def test_each_rule(transcript: str, words: str) -> None:
    assert words_of(transcript) == words


@pytest.mark.parametrize("token", ["[music]", "<tone>", "a/b", "{odd", "x[]"])
def test_unknown_notation_is_named(token: str) -> None:
    with pytest.raises(NotationError, match="does not follow"):
        words_of(f"so {token} yes")


def test_a_dictionary_tells_spelled_acronyms_from_spoken_ones() -> None:
    lines = [
        "# comment\n", "\n", "I ay\n", "B b iy\n", "M eh m\n", "IBM ay b iy  eh m\n",
        "N eh n\n", "A ey\n", "A ax\n", "S eh s\n", "NASA n ae s ax\n", "USA y uw eh s ey\n",
    ]  # fmt: skip
    spelled = spelled_by(lines)
    assert words_of("IBM and IBM's", spelled) == "i b m and i b m's"
    assert words_of("NASA or NASA's", spelled) == "nasa or nasa's"
    assert words_of("BBC", spelled) == "b b c", "the dictionary does not have it"
    assert words_of("USA", spelled) == "u s a", "it has no U to compare with"
