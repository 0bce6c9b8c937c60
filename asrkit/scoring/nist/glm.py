"""NIST's global mapping rules (GLM files): which spellings are the same for scoring.

A rule `[A] => [B] / [C] __ [D]` rewrites A as B between C and D; brackets keep spaces. A cursor
moves over the text; at each place the first rule of the file that matches is applied, and what
it made is not looked at again. `* key = 'value'` sets options, `;;` begins a comment, and

    ;; INPUT_DEPENDENT_APPLICATION = "ctm"

lets the rules below apply to hypotheses (ctm, hyp) or references (stm, ref) only: a reference has
the one expansion of a contraction that was said, a hypothesis all that are possible.

Source: NIST SCTK, GLMRules.txt and csrfilt.sh.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines

HESITATION = "%HESITATION"
RULE = re.compile(r"^(?P<source>.*?)=>(?P<target>.*?)(?:/(?P<left>[^/]*?)__(?P<right>[^/]*))?$")
ONLY_FOR = re.compile(r'^;;\s+INPUT_DEPENDENT_APPLICATION\s*=\s*"([^"]*)"')
OPTION = re.compile(r"""^\*\s*(\w+)[^"']*["']([^"']*)["']""")
REFERENCE, HYPOTHESIS = ("stm", "ref"), ("ctm", "hyp")


@dataclass(frozen=True)
class Rule:
    """Rewrites one string as another between two others."""

    source: str
    target: str
    left: str = ""
    right: str = ""

    def matches(self, text: str, place: int) -> bool:
        """Returns whether the rule applies at a position in a text."""
        end = place + len(self.source)
        return (
            text.startswith(self.source, place)
            and text.startswith(self.right, end)
            and text[:place].endswith(self.left)
        )


@dataclass
class Rules:
    """The rules for one kind of text.

    Args:
        by_first: Rules in the order of the file, by the first character of their source.
        copies_rest: Whether characters that no rule matches are kept.
        case_sensitive: Whether sources and contexts mean capitals as they are written.
    """

    by_first: dict[str, list[Rule]] = field(default_factory=lambda: defaultdict(list))
    copies_rest: bool = True
    case_sensitive: bool = True

    def add(self, rule: Rule) -> None:
        """Appends a rule."""
        if not self.case_sensitive:
            upper = (rule.source.upper(), rule.target, rule.left.upper(), rule.right.upper())
            rule = Rule(*upper)
        self.by_first[rule.source[0]].append(rule)

    def apply(self, text: str) -> str:
        """Returns a text with all rules applied once, from left to right."""
        compared = text if self.case_sensitive else text.upper()
        written, place = [], 0
        while place < len(text):
            rules = self.by_first.get(compared[place], [])
            rule = next((rule for rule in rules if rule.matches(compared, place)), None)
            if rule is not None:
                written.append(rule.target)
            elif self.copies_rest:
                written.append(text[place])
            place += len(rule.source) if rule is not None else 1
        return "".join(written)


@dataclass(frozen=True)
class Glm:
    """The mapping rules of a test set.

    Args:
        for_references: Rules for reference texts.
        for_hypotheses: Rules for recognised words.
    """

    for_references: Rules
    for_hypotheses: Rules

    def reference(self, text: str) -> str:
        """Returns a reference text as it is scored; rules may span words."""
        return filtered(text, self.for_references)

    def hypothesis(self, text: str) -> str:
        """Returns a recognised text as it is scored: each word is mapped by itself, as in CTMs."""
        return " ".join(_braced(filtered(word, self.for_hypotheses)) for word in text.split())


def filtered(text: str, rules: Rules) -> str:
    """Returns a text in capitals, mapped by the rules, with its hyphenated words split.

    Hyphens at the ends of words mark partial words and stay. Parentheses around several words are
    put around each.
    """
    spaced = " ".join(text.upper().split()).replace("(", "( ").replace(")", " )")
    mapped = rules.apply(f"  {spaced}  ")
    mapped = re.sub(r"([^( ])-(?=[^) ])", r"\1 ", mapped)
    mapped = re.sub(r"\(([^()]*)\)", lambda found: _each_optional(found[1]), mapped)
    return " ".join(mapped.split())


def _each_optional(words: str) -> str:
    return " ".join(f"({word})" for word in words.split())


def _braced(text: str) -> str:
    """Spaces out the slashes of alternatives, which rules may write without spaces."""
    if "{" not in text:
        return text
    return " ".join(re.sub(r"([{}/])", r" \1 ", text).split())


def read_glm(path: Path) -> Glm:
    """Reads a GLM file.

    Raises:
        UserError: If it is missing, or a line is neither rule, option nor comment.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: scoring with mapping rules needs the GLM file")
    lines = list(read_lines(path, errors="replace"))
    return Glm(*(_read_rules(path, lines, kinds) for kinds in (REFERENCE, HYPOTHESIS)))


def _read_rules(path: Path, lines: list[str], kinds: tuple[str, str]) -> Rules:
    rules, applies = Rules(), True
    for number, line in enumerate(lines, 1):
        only_for = ONLY_FOR.match(line)
        if only_for:
            applies = any(re.search(only_for[1].lower(), kind) for kind in kinds)
        content = line.split(";;")[0].strip()
        if not applies or not content:
            continue
        if content.startswith("*") and "=>" not in content:
            _set_option(rules, content)
            continue
        rule = parse_rule(content)
        if rule is None:
            raise UserError(f"{path}, line {number}: {line!r} is not a rule A => B / C __ D")
        rules.add(rule)
    return rules


def _set_option(rules: Rules, content: str) -> None:
    found = OPTION.match(content)
    if found is None:
        return
    is_true = found[2].upper() in ("T", "TRUE", "YES")
    if found[1].lower() == "copy_no_hit":
        rules.copies_rest = is_true
    elif found[1].lower() == "case_sensitive":
        rules.case_sensitive = is_true


def parse_rule(line: str) -> Rule | None:
    """Returns the rule of a line without comment, None if it is none."""
    found = RULE.match(line)
    if found is None or not _unbracketed(found["source"]):
        return None
    left, right = found["left"] or "", found["right"] or ""
    return Rule(*map(_unbracketed, (found["source"], found["target"], left, right)))


def _unbracketed(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] + text[-1] in ("[]", '""'):
        return text[1:-1]
    return text
