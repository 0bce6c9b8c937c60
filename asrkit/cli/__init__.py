"""The command line: a file for each verb, which parses its arguments and calls one function."""

from asrkit.cli.ablate import ablate
from asrkit.cli.align import align
from asrkit.cli.alignments import alignments
from asrkit.cli.average import average
from asrkit.cli.chain import chain
from asrkit.cli.check import check
from asrkit.cli.data import data
from asrkit.cli.data_features import data_features
from asrkit.cli.decode import decode
from asrkit.cli.diff import diff
from asrkit.cli.explain import explain
from asrkit.cli.export_model import export_model
from asrkit.cli.features import features
from asrkit.cli.files import files
from asrkit.cli.gmm import gmm
from asrkit.cli.graph import graph
from asrkit.cli.group import main
from asrkit.cli.import_model import import_model
from asrkit.cli.lattices import lattices
from asrkit.cli.lexicon import lexicon
from asrkit.cli.list_names import list_names
from asrkit.cli.ngram import ngram
from asrkit.cli.perplexity import perplexity
from asrkit.cli.prior import prior
from asrkit.cli.score import score
from asrkit.cli.search_errors import search_errors
from asrkit.cli.show import show
from asrkit.cli.sweep import sweep
from asrkit.cli.table import table_of_searches
from asrkit.cli.tokenizer import tokenizer
from asrkit.cli.train import train
from asrkit.cli.transcribe import transcribe
from asrkit.cli.tune import tune
from asrkit.cli.words import calibrate, words

__all__ = ["main"]

data.add_command(data_features)

for verb in (
    ablate,
    align,
    alignments,
    average,
    calibrate,
    chain,
    check,
    data,
    decode,
    diff,
    explain,
    export_model,
    features,
    files,
    gmm,
    graph,
    lattices,
    import_model,
    lexicon,
    list_names,
    ngram,
    perplexity,
    prior,
    score,
    search_errors,
    show,
    sweep,
    table_of_searches,
    tokenizer,
    train,
    transcribe,
    tune,
    words,
):
    main.add_command(verb)
