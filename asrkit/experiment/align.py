"""`asrkit align`: when each label or word was spoken, by a head's best path of the transcript."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.decode_batches import decode_batches
from asrkit.data.feature_sets import require_rate
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import open_set
from asrkit.data.transcripts import with_transcripts
from asrkit.errors import UserError
from asrkit.experiment.align_labels import LabelAligner
from asrkit.experiment.align_phones import PhoneAligner, scores_phones
from asrkit.experiment.align_states import StateOptions, state_aligner
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.record import record_command
from asrkit.experiment.runs import open_run
from asrkit.experiment.set_alignments import AlignedUtterance, SetAlignments
from asrkit.experiment.spec import available_device
from asrkit.hmm.hmm_folder import read_hmm
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.models.interfaces import AligningHead, Head
from asrkit.models.kinds import SpeechModel
from asrkit.run_folder import RunFolder
from asrkit.scorers.interfaces import StateSource
from asrkit.text.tokenizers import Tokenizer

DEFAULT_HEADS = "ctc", "states"
"""Heads that are taken where none is named; then the only one that aligns."""

log = logging.getLogger(__name__)


class Aligner(Protocol):
    """Aligns the transcripts of utterances."""

    @property
    def targets(self) -> FrameTargets | None:
        """What the symbols of frames are; None where a frame may have several."""
        ...

    @property
    def tree(self) -> str:
        """Digest of the tree whose states they are; "" where there is none."""
        ...

    @property
    def left_out(self) -> Counter[str]:
        """How many utterances had no alignment, by reason."""
        ...

    def __call__(self, batch: Batch, infos: list[UtteranceInfo]) -> list[AlignedUtterance]:
        """Returns the alignments of those utterances of a batch that have one."""
        ...

    def frame_seconds(self, num_samples: int) -> float:
        """Returns the seconds between the frames of alignments of so many samples."""
        ...


def align(
    run: Path,
    data: Path,
    set_name: str,
    head: str | None = None,
    checkpoint: str = "average",
    speeds: Sequence[float] = (1.0,),
    overrides: Sequence[str] = (),
    states: StateOptions = StateOptions(),  # noqa: B008 - has no state
) -> list[Path]:
    """Writes the alignments of a set; utterances that have none are left out.

    RUN/align/SET.ctm has utterance, channel, start and duration in seconds, label, at speed 1.
    RUN/align/SET.safetensors has the symbols of all frames, at all speeds, to train on; not for
    RNN-T, where a frame may have several. RUN/align/SET.words.ctm has the words that labels spell.
    Of a head of tied states, or of phones, SET.ctm has words, and RUN/align/SET.phones.ctm phones.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: The set.
        head: One that aligns: a CTC or transducer head, one of states or phones, or a plugin's;
            None for `ctc`, `states`, or the only one.
        checkpoint: "average", "best", "last" or a path.
        speeds: The utterances are played at each of these.
        overrides: Such as data.decoding.max_seconds=600.
        states: For heads of tied states; beam and lexicon also for heads of phones.

    Returns:
        The paths of the files.

    Raises:
        UserError: If the head is missing, or doesn't align, or no utterance has an alignment.
    """
    opened = open_run(run, data)
    settings = heard_with(opened.experiment.speech, overrides)
    cuts = with_transcripts(open_set(data, [set_name]), set_name, "alignments")
    require_rate(cuts, settings.sample_rate, speeds)
    model, weights = opened.speech_model(checkpoint)
    aligner = aligner_of(opened.folder, opened.tokenizer, model, head, weights, states)
    record_command(run)
    model.to(available_device())
    found = SetAlignments(aligner.targets, aligner.tree)
    for speed in dict.fromkeys(speeds):
        for batch, infos in decode_batches(cuts, settings, speed):
            seconds = aligner.frame_seconds(batch.signal.shape[1])
            for one in aligner(batch, infos):
                found.add(one, speed, seconds)
    for reason, count in aligner.left_out.items():
        log.warning("%s: %d utterances have no alignment: %s", set_name, count, reason)
    if not found.utterances:
        raise UserError(f"no utterance of {set_name} could be aligned")
    return found.write(opened.folder, set_name)


def aligner_of(
    run: RunFolder,
    tokenizer: Tokenizer,
    model: SpeechModel,
    name: str | None,
    weights: Path,
    states: StateOptions,
) -> Aligner:
    """Returns what aligns by a head.

    Args:
        run: The run.
        tokenizer: Its tokenizer.
        model: Its model.
        name: The head; the usual one where null.
        weights: The model's checkpoint.
        states: For heads of tied states.

    Raises:
        UserError: If the head is missing, doesn't align, or is not fit for the options.
    """
    heads = model.named_heads()
    name = _default_head(heads) if name is None else name
    head: Any = heads.get(name)
    if isinstance(head, AligningHead):
        if states != StateOptions():
            raise UserError(
                f"head {name!r} of {run.path} aligns labels: scales, priors, beams and lexicons "
                "are for heads of tied states"
            )
        return LabelAligner(model, head, tokenizer)
    if scores_phones(head):
        if states != StateOptions(beam=states.beam, lexicon=states.lexicon):
            raise UserError(
                f"head {name!r} of {run.path} aligns phones: scales and priors, and noise for "
                "unknown words, are for heads of tied states"
            )
        path = states.lexicon
        lexicon = read_hmm(run.hmm).lexicon if path is None else read_lexicon(path)
        return PhoneAligner(model, head, lexicon, states.beam)
    if _has_states(head):
        return state_aligner(model, name, head, run, weights, states)
    able = ", ".join(f"--head {name}" for name, head in heads.items() if _aligns(head))
    raise UserError(
        f"{run.path} has no head {name!r} that aligns, such as a CTC or transducer head or one of "
        f"tied states or phones; {f'those that it has: {able}' if able else 'it has none'}"
    )


def _default_head(heads: dict[str, Head]) -> str:
    able = [name for name, head in heads.items() if _aligns(head)]
    known = [name for name in DEFAULT_HEADS if name in able]
    return (known or (able if len(able) == 1 else DEFAULT_HEADS))[0]


def _aligns(head: object) -> bool:
    return isinstance(head, AligningHead) or _has_states(head) or scores_phones(head)


def _has_states(head: object) -> bool:
    """Returns whether a head scores the states of an HMM, not phones and blank."""
    return isinstance(head, StateSource) and not scores_phones(head)
