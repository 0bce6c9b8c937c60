"""The paths in a run folder: the only place that knows its file names.

RUN/resolved.yaml            the spec, with every default written out
RUN/text/                    the tokenizer's files
RUN/vocabulary.txt           the labels, a line each
RUN/statistics.safetensors   mean and standard deviation of features
RUN/checkpoints/             weights
RUN/log.jsonl                a line per epoch
RUN/decode/SEARCH/SET/       results of a search
RUN/tune/SEARCH.yaml         a search with tuned weights
RUN/calibration/SEARCH.json  what its confidences of words are worth
RUN/align/SET.ctm            times of labels, of words for tied states
RUN/align/SET.words.ctm      times of the words that labels spell
RUN/align/SET.phones.ctm     times of phones
RUN/align/SET.safetensors    symbols of frames
RUN/prior/HEAD.json          label priors
RUN/hmm/                     the HMM that tied states are of
RUN/data/                    sets of features, made by a stage of Gaussian mixtures
RUN/graph/NAME.safetensors   decoding graphs of tied states
RUN/graph/NAME.arpa.gz       their n-gram models, unpruned; NAME.lexicon.txt: pronunciations
RUN/phases/NUMBER/           run folders of the phases before
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.files import matching

AVERAGE = "average.pt"
"""Averaged weights in a folder of checkpoints."""
INDEX = "index.json"
"""The list of checkpoints in their folder."""


@dataclass(frozen=True)
class DecodedSet:
    """RUN/decode/SEARCH/SET: the results of a search on a set.

    Args:
        folder: Where it is.
    """

    folder: Path

    @property
    def nbest(self) -> Path:
        """The n-best lists, a line per utterance."""
        return self.folder / "nbest.jsonl"

    @property
    def partial(self) -> Path:
        """The n-best lists of an unfinished decode."""
        return self.folder / "nbest.partial.jsonl"

    @property
    def lattices(self) -> Path:
        """Lattices of words, of searches that give some."""
        return self.folder / "lattices.jsonl.gz"

    @property
    def partial_lattices(self) -> Path:
        """The lattices of an unfinished decode."""
        return self.folder / "lattices.partial.jsonl"

    @property
    def words(self) -> Path:
        """Words of the best hypotheses with times and confidences, where there are lattices."""
        return self.folder / "words.ctm"

    @property
    def believed_words(self) -> Path:
        """The same for programs, with what `asrkit words` says of them."""
        return self.folder / "words.jsonl"

    @property
    def partial_words(self) -> Path:
        """The words of an unfinished decode."""
        return self.folder / "words.partial.jsonl"

    @property
    def search(self) -> Path:
        """The search that found them."""
        return self.folder / "search.json"

    @property
    def summary(self) -> Path:
        """Speed, and facts about the set."""
        return self.folder / "summary.json"

    @property
    def score(self) -> Path:
        """Word errors."""
        return self.folder / "score.json"

    @property
    def search_errors(self) -> Path:
        """Search errors."""
        return self.folder / "search_errors.json"

    @property
    def utterances(self) -> Path:
        """Word errors by utterance."""
        return self.folder / "utterances.tsv"

    @property
    def segments(self) -> Path:
        """Word errors by segment of an STM file, as older versions wrote them."""
        return self.folder / "segments.tsv"

    @property
    def speakers(self) -> Path:
        """Word errors by speaker."""
        return self.folder / "speakers.tsv"

    @property
    def aligned_text(self) -> Path:
        """References over hypotheses, for people."""
        return self.folder / "aligned.txt"

    @property
    def aligned(self) -> Path:
        """References over hypotheses, for programs."""
        return self.folder / "aligned.jsonl"

    @property
    def ctm(self) -> Path:
        """The best hypotheses with times, as NIST's programs read them."""
        return self.folder / "hypotheses.ctm"

    @property
    def trn(self) -> Path:
        """The best hypotheses as texts, as NIST's programs read them."""
        return self.folder / "hypotheses.trn"

    @property
    def hubscr(self) -> Path:
        """Folder of hubscr.pl's reports."""
        return self.folder / "hubscr"

    @property
    def judgements(self) -> tuple[Path, ...]:
        """What is said of the n-best lists; new lists make it void."""
        return self.score, self.search_errors, self.believed_words


@dataclass(frozen=True)
class RunFolder:
    """The paths in a run folder.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """What results call the run: the folder's name, after that of all stages of mixtures."""
        if (self.path / "stage.json").is_file():
            return f"{self.path.parent.name}-{self.path.name}"
        return self.path.name

    @property
    def spec(self) -> Path:
        """The spec, with every default written out."""
        return self.path / "resolved.yaml"

    @property
    def text(self) -> Path:
        """Folder of the tokenizer's files."""
        return self.path / "text"

    @property
    def vocabulary(self) -> Path:
        """The labels."""
        return self.path / "vocabulary.txt"

    @property
    def statistics(self) -> Path:
        """Feature statistics."""
        return self.path / "statistics.safetensors"

    @property
    def checkpoints(self) -> Path:
        """Folder of the weights."""
        return self.path / "checkpoints"

    @property
    def average(self) -> Path:
        """Averaged weights."""
        return self.checkpoints / AVERAGE

    @property
    def index(self) -> Path:
        """The list of checkpoints."""
        return self.checkpoints / INDEX

    def weights(self, checkpoint: str) -> Path:
        """Returns the file that decides which weights "average", "best", "last" or a path mean."""
        if checkpoint in ("best", "last"):
            return self.index
        return self.average if checkpoint == "average" else Path(checkpoint)

    @property
    def log(self) -> Path:
        """Losses and other values of each epoch."""
        return self.path / "log.jsonl"

    @property
    def curves(self) -> Path:
        """Plot of the learning curves."""
        return self.path / "curves.png"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's files."""
        return self.path / "tensorboard"

    @property
    def commands(self) -> Path:
        """The commands that were given."""
        return self.path / "commands.txt"

    @property
    def environment(self) -> Path:
        """Code revision, versions, machine, model size."""
        return self.path / "environment.json"

    @property
    def left_out(self) -> Path:
        """The utterances that training does not use."""
        return self.path / "left_out.tsv"

    @property
    def imported(self) -> Path:
        """Which tensors were imported, and which were initialised."""
        return self.path / "imported.tsv"

    @property
    def foreign_config(self) -> Path:
        """The configuration of the other toolkit that its model comes from."""
        return self.path / "imported.yaml"

    @property
    def searches(self) -> Path:
        """Which searches its tables compare."""
        return self.path / "searches.json"

    @property
    def search_tables(self) -> Path:
        """Tables of its searches, for people."""
        return self.path / "searches.md"

    @property
    def decoded(self) -> Path:
        """Folder of all decoded sets, by search."""
        return self.path / "decode"

    def decoded_set(self, search: str, set_name: str) -> DecodedSet:
        """Returns the paths of the results of a search on a set."""
        return DecodedSet(self.decoded / search / set_name)

    def scored_sets(self) -> list[DecodedSet]:
        """Returns what was decoded and scored, sorted by search and set."""
        return [DecodedSet(path.parent) for path in matching(self.decoded, "*/*/score.json")]

    def decoded_sets(self, search: str) -> list[DecodedSet]:
        """Returns the sets that a search has decoded, sorted."""
        return [
            DecodedSet(path.parent) for path in matching(self.decoded / search, "*/nbest.jsonl")
        ]

    def tuned(self, search: str) -> Path:
        """Returns the spec of a search with tuned weights."""
        return self.path / "tune" / f"{search}.yaml"

    def calibration(self, search: str) -> Path:
        """Returns what makes confidences of a search ones that can be believed."""
        return self.path / "calibration" / f"{search}.json"

    def trials(self, search: str) -> Path:
        """Returns the folder of the decodes that a search was tuned with."""
        return self.path / "tune" / search

    def prior(self, head: str) -> Path:
        """Returns the label priors of a head."""
        return self.path / "prior" / f"{head}.json"

    @property
    def hmm(self) -> Path:
        """Folder of the HMM that a head's tied states are of; there only for such heads."""
        return self.path / "hmm"

    @property
    def features(self) -> Path:
        """Data folder of the sets of features that Gaussian mixtures make."""
        return self.path / "data"

    def graph(self, name: str) -> Path:
        """Returns where a decoding graph of tied states is written."""
        return self.path / "graph" / f"{name}.safetensors"

    def graph_ngram(self, name: str) -> Path:
        """Returns where the whole n-gram model of a graph is copied."""
        return self.path / "graph" / f"{name}.arpa.gz"

    def graph_lexicon(self, graph: Path) -> Path:
        """Returns where the pronunciations of a graph's words are written."""
        return graph.with_name(f"{graph.stem}.lexicon.txt")

    def times(self, set_name: str) -> Path:
        """Returns the file with times of the labels of a set, of its words for tied states."""
        return self.path / "align" / f"{set_name}.ctm"

    def word_times(self, set_name: str) -> Path:
        """Returns the file with times of the words that the labels of a set spell."""
        return self.path / "align" / f"{set_name}.words.ctm"

    def words_said(self, set_name: str) -> Path | None:
        """Returns the file with times of words, by labels or by tied states; None if neither."""
        paths = self.word_times(set_name), self.times(set_name)
        return next((path for path in paths if path.is_file()), None)

    def phone_times(self, set_name: str) -> Path:
        """Returns the file with times of the phones of a set."""
        return self.path / "align" / f"{set_name}.phones.ctm"

    def frames(self, set_name: str) -> Path:
        """Returns the file with the symbols of all frames of a set."""
        return self.path / "align" / f"{set_name}.safetensors"

    def older_frames(self, set_name: str) -> Path:
        """Returns where older versions wrote the symbols of all frames."""
        return self.path / "align" / f"{set_name}.tsv"

    def phase(self, number: int) -> RunFolder:
        """Returns the run folder of a phase, counted from 1."""
        return RunFolder(self.path / "phases" / str(number))
