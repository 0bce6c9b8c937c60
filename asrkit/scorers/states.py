"""A head of states or phones as a scorer; a prior makes log p(x|s) of a network's log p(s|x)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from asrkit.scorers.entries import OfHead, scorers
from asrkit.scorers.interfaces import FrameScores, Kind
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source, unfit
from asrkit.text.outputs import Outputs


@scorers.register("states")
@dataclass(frozen=True)
class StatesScorer(OfHead):
    """A head of tied states, or of phones, for a search of type graph.

    Args:
        weight: Factor of its scores; about 0.1 for Gaussian mixtures.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        prior: File of the states' priors, made by `asrkit prior`, for networks; mixtures need none.
        prior_scale: Log-priors are subtracted with this factor; scores are not normalised again.

    Source: Bourlard & Morgan 1994; the factor of rwth-i6/i6_experiments, users/schupp.
    """

    hears: ClassVar[bool] = True
    frame_kind: ClassVar[Kind] = "states"
    prior: Path | None = None
    prior_scale: float = 0.3

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the head's states, less their priors."""
        found = self.found(name, loader)
        source = found.source
        source.require("states")
        if self.prior is None:
            return source
        outputs = getattr(found.head, "outputs", None)
        if outputs is not None and not isinstance(outputs, Outputs):
            raise unfit(found.what, "doesn't say what its outputs are", "a head of tied states")
        prior = loader.prior(self.prior, self.run, self.checkpoint, outputs)  # (S,)
        given, scaled = source.states, self.prior_scale * prior
        assert given is not None

        def states(encoded: Any) -> FrameScores:
            scores = given(encoded)
            log_probs = scores.log_probs - scaled.to(scores.log_probs)  # (B, T, S)
            return replace(scores, log_probs=log_probs)

        return replace(source, states=states)
