"""The states of phones, and what it costs to stay in one, to go on, to skip one and to leave.

Every phone is a chain of states. Costs are -log p, so 0 is free and infinity forbidden:

    loop      stay in a state for another frame
    forward   go to the next state, or out of the last one
    skip      go to the state after the next, or over the last one out of the phone
    exit      leave a word, or silence or noise, which stand where words do; paid once, at its end
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SILENCE, NOISE = "SIL", "SPN"
"""Phones of silence and of noise, by Kaldi's names."""
EDGE = 0
"""Stands for the neighbour of an utterance's first and last phone."""


@dataclass(frozen=True)
class Costs:
    """Costs of one class of phones, -log p.

    Args:
        loop: Of staying in a state.
        forward: Of going to the next one.
        skip: Of leaving the next one out.
        exit: Of leaving a word.

    Raises:
        ValueError: If one is not a number, or states can neither be left nor skipped.
    """

    loop: float = -math.log(0.75)
    forward: float = -math.log(0.25)
    skip: float = math.inf
    exit: float = 0.0

    def __post_init__(self) -> None:
        for name in ("loop", "forward", "skip", "exit"):
            if math.isnan(getattr(self, name)) or getattr(self, name) == -math.inf:
                raise ValueError(f"{name} must be a cost (-log p), got {getattr(self, name)}")
        if math.isinf(self.forward) or math.isinf(self.exit):
            raise ValueError("forward and exit must be finite: states must be left somehow")


@dataclass(frozen=True)
class HmmTopology:
    """States and costs of all phones.

    Args:
        states: States of a phone of speech: 3, or 1.
        silence_states: States of silence and of noise.
        speech: Costs of phones of speech.
        silence: Costs of silence.
        noise: Costs of noise.

    Raises:
        ValueError: If there are no states, or a phone could be skipped as a whole.
    """

    states: int = 3
    silence_states: int = 3
    speech: Costs = field(default_factory=Costs)
    silence: Costs = field(default_factory=Costs)
    noise: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if min(self.states, self.silence_states) < 1:
            raise ValueError(
                f"phones need states, got states {self.states}, "
                f"silence_states {self.silence_states}"
            )

    def states_of(self, phone: str) -> int:
        """Returns how many states a phone has."""
        return self.silence_states if phone in (SILENCE, NOISE) else self.states

    def costs_of(self, phone: str) -> Costs:
        """Returns the costs of a phone."""
        return {SILENCE: self.silence, NOISE: self.noise}.get(phone, self.speech)


def published_topology(states: int = 3, silence_states: int = 1) -> HmmTopology:
    """Returns the costs that hybrid systems of LibriSpeech and Switchboard are decoded with.

    Args:
        states: States of a phone of speech.
        silence_states: States of silence and of noise.

    Source: RASR's time distortion penalties in i6_experiments, users/schupp/hybrid_hmm_nn:
    transition (3, 0, 30, 0), silence (0, 3, infinity, 20), non-word (0, 3, infinity, 6). There a
    skip may also leave out the first state of the next phone; here it stays within its phone.
    """
    return HmmTopology(
        states,
        silence_states,
        speech=Costs(3.0, 0.0, 30.0, 0.0),
        silence=Costs(0.0, 3.0, math.inf, 20.0),
        noise=Costs(0.0, 3.0, math.inf, 6.0),
    )


class Phones:
    """The phones of a model and their ids: `EDGE` is 0, silence 1, noise 2, then speech.

    Args:
        speech: Phones of speech; silence and noise are left out of them.

    Raises:
        ValueError: If there is none, or one is there twice.
    """

    def __init__(self, speech: list[str]) -> None:
        own = [phone for phone in speech if phone not in (SILENCE, NOISE)]
        if not own or len(set(own)) < len(own):
            raise ValueError(f"expected different phones of speech, got {own}")
        self.names = ["<edge>", SILENCE, NOISE, *own]
        self.ids = {name: number for number, name in enumerate(self.names)}

    def __len__(self) -> int:
        """How many ids there are, that of the edge too."""
        return len(self.names)

    @property
    def speech(self) -> list[str]:
        """Phones of speech."""
        return self.names[3:]

    @property
    def independent(self) -> tuple[int, int]:
        """Ids of silence and noise, whose states ask for no neighbour."""
        return self.ids[SILENCE], self.ids[NOISE]
