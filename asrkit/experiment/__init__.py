"""Where config, data, models and training meet: what each verb of the command line does."""

from asrkit.experiment.ablation.study import ablate, ablate_row
from asrkit.experiment.ablation.sweep import sweep
from asrkit.experiment.ablation.variants import check_variant
from asrkit.experiment.align import align
from asrkit.experiment.align_states import StateOptions
from asrkit.experiment.chain import ChainSettings, chain, flat_chain
from asrkit.experiment.check import CheckReport, check, explain, show
from asrkit.experiment.compare import diff
from asrkit.experiment.decode import average, decode, score
from asrkit.experiment.decode_spec import table
from asrkit.experiment.export_model import export_model
from asrkit.experiment.gmm import gmm
from asrkit.experiment.gmm_features import features
from asrkit.experiment.graph import graph
from asrkit.experiment.import_model import import_model
from asrkit.experiment.lexicon import lexicon
from asrkit.experiment.ngram import ngram
from asrkit.experiment.perplexity import perplexity
from asrkit.experiment.prior import count_prior, estimate_prior
from asrkit.experiment.search_errors import search_errors
from asrkit.experiment.spec import Experiment, load_spec
from asrkit.experiment.tokenizer import tokenizer
from asrkit.experiment.train import train
from asrkit.experiment.tune import tune
from asrkit.experiment.words import calibrate, words

__all__ = [
    "ChainSettings",
    "CheckReport",
    "Experiment",
    "StateOptions",
    "ablate",
    "ablate_row",
    "align",
    "average",
    "calibrate",
    "chain",
    "flat_chain",
    "check",
    "check_variant",
    "count_prior",
    "decode",
    "diff",
    "estimate_prior",
    "explain",
    "export_model",
    "features",
    "gmm",
    "graph",
    "import_model",
    "lexicon",
    "load_spec",
    "ngram",
    "perplexity",
    "score",
    "search_errors",
    "show",
    "sweep",
    "table",
    "tokenizer",
    "train",
    "tune",
    "words",
]
