"""An imported RETURNN model computes what RETURNN computes, layer by layer, and finds the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors import safe_open
from torch import Tensor, nn

from asrkit.cli import main
from asrkit.config.registry import import_all
from asrkit.config.yaml_loader import Spec
from asrkit.errors import UserError
from asrkit.experiment import import_model, score
from asrkit.experiment.import_model import describe, read_tensors
from asrkit.experiment.runs import open_run
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.foreign.rules import renamed, restored
from asrkit.losses.ctc import ctc_loss
from asrkit.models.asr_model import AsrModel
from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded
from asrkit.models.language_model import LanguageModel
from asrkit.nn.masking import length_mask
from asrkit.run_files import NbestLine
from asrkit.text.vocabulary import Vocabulary
from tests.foreign.comparison import agree, found_by, layers_of
from tests.foreign.full_size import LABELS, shapes
from tests.foreign.stored_models import LABELS as UNITS
from tests.foreign.stored_models import RECOGNISER, put_returnn

HERE = Path(__file__).parent / "returnn"
AED = Path(__file__).parents[2] / "recipes" / "librispeech" / "conf" / "aed.yaml"
UTTERANCES = ["0", "1"]
LANGUAGE_MODELS = ["lstm_lm", "transformer_lm", "transformer_lm-gelu"]


def stored(kind: str) -> dict[str, Tensor]:
    with safe_open(HERE / f"{kind}.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def said(kind: str) -> dict[str, str]:
    with safe_open(HERE / f"{kind}.safetensors", "pt") as file:
        return dict(file.metadata())


TENSORS = stored("aed")
SIZE = len(TENSORS["model.target_embed.weight"])
ENDED = [*range(1, SIZE), 0]
"""RETURNN's number of each label here, and of end of sentence."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("returnn")
    return import_model("returnn", put_returnn(folder), folder / "run").run


@pytest.fixture(scope="module")
def model(run: Path) -> Iterator[AsrModel]:
    with torch.no_grad():
        yield recogniser(run)


def recogniser(run: Path) -> AsrModel:
    found, _ = open_run(run).model("average")
    assert isinstance(found, AsrModel)
    return found


def labels_of(number: str) -> Tensor:
    return TENSORS[f"text.{number}"] - 1


def encoded_alone(model: AsrModel, number: str) -> Encoded:
    return layers_of(model, TENSORS[f"signal.{number}"])[0]


def logits_of(model: AsrModel, encoded: Encoded, number: str) -> Tensor:
    head = model.heads["attention"]
    assert isinstance(head, AttentionHead)
    read = F.pad(labels_of(number), (1, 0), value=head.eos)[None]
    logits: Tensor = head.decoder(read, encoded.frames, length_mask(encoded.lengths))
    return logits


@pytest.mark.parametrize("number", UTTERANCES)
def test_features_and_each_layer_of_the_encoder_agree(model: AsrModel, number: str) -> None:
    encoded, found = layers_of(model, TENSORS[f"signal.{number}"])
    assert len(found) == 5
    for name, output in found.items():
        agree(output, TENSORS[f"{number}.{name}"])
    assert encoded.lengths.tolist() == TENSORS[f"{number}.lengths"].tolist()


def test_recordings_are_divided_by_their_peak_as_those_of_data_sets_are(tmp_path: Path) -> None:
    checkpoint = put_returnn(tmp_path)
    (tmp_path / "config.yaml").write_text(UNITS + "features: {num_mels: 12}\n")
    run = import_model("returnn", checkpoint, tmp_path / "run").run
    features = open_run(run).resolved["model"]["features"]
    assert features["signal_normalization"] == {"type": "peak", "level": 1.0}
    model = recogniser(run)
    for number in UTTERANCES:
        signal, expected = TENSORS[f"signal.{number}"], TENSORS[f"{number}.peak"]
        found, _ = model.features(signal[None], torch.tensor([len(signal)]))
        agree(found, expected)
        assert (expected - TENSORS[f"{number}.features"]).abs().max() > 0.1
    (tmp_path / "config.yaml").write_text(
        UNITS + "features: {num_mels: 12, peak_normalization: 1.5}\n"
    )
    with pytest.raises(UserError, match=r"features\.peak_normalization is 1\.5, expected True or"):
        import_model("returnn", checkpoint, tmp_path / "other")


@pytest.mark.parametrize("number", UTTERANCES)
def test_scores_and_losses_agree(model: AsrModel, number: str) -> None:
    encoded, labels = encoded_alone(model, number), labels_of(number)
    agree(logits_of(model, encoded, number), TENSORS[f"{number}.attention"][..., ENDED])
    ended = F.pad(labels, (0, 1), value=SIZE - 1)[None]
    for layer in (1, 2):
        head = model.heads[f"ctc_{layer}"]
        assert isinstance(head, CtcHead)
        log_probs = head.symbol_log_probs(encoded)
        agree(log_probs, TENSORS[f"{number}.ctc_{layer}"][..., [*ENDED, SIZE]])
        loss, _ = ctc_loss(log_probs, encoded.lengths, ended, torch.tensor([ended.shape[1]]))
        agree(loss, TENSORS[f"{number}.loss_ctc_{layer}"])


def test_the_outputs_of_zoneout_are_read_where_the_configuration_says(tmp_path: Path) -> None:
    checkpoint = put_returnn(tmp_path)
    config = RECOGNISER + "decoder: {use_zoneout_output: true}\n"
    (tmp_path / "config.yaml").write_text(config)
    model = recogniser(import_model("returnn", checkpoint, tmp_path / "run").run)
    with torch.no_grad():
        logits = logits_of(model, encoded_alone(model, "0"), "0")
    agree(logits, TENSORS["zoned.attention"][..., ENDED])
    assert (logits - TENSORS["0.attention"][..., ENDED]).abs().max() > 1e-2


def test_padding_changes_nothing_here_and_where_there_is_none_all_agree(model: AsrModel) -> None:
    signals = [TENSORS[f"signal.{number}"] for number in UTTERANCES]
    lengths = torch.tensor([len(signal) for signal in signals])
    batch = nn.utils.rnn.pad_sequence(signals, batch_first=True)
    encoded = model.encode(batch, lengths)
    for row, number in enumerate(UTTERANCES):
        alone = TENSORS[f"{number}.frames"][0]
        agree(encoded.frames[row, : len(alone)], alone)
    agree(encoded.frames[0], TENSORS["batch.frames"][0])


SIGNALS = [TENSORS[f"signal.{number}"] for number in UTTERANCES]


def hypotheses_of(kind: str) -> list[dict[tuple[int, ...], float]]:
    """Returns the scores of RETURNN's hypotheses of each utterance, best first, by labels here."""
    return [
        {tuple(label - 1 for label in labels): score for labels, score in each}
        for each in json.loads(said(kind)["hypotheses"])
    ]


def scores_of(line: NbestLine) -> dict[tuple[int, ...], float]:
    return {tuple(each.labels): each.score for each in line.hypotheses}


def test_the_same_is_found(run: Path) -> None:
    lines = found_by(run, SIGNALS, "attention", "beam_size=4")
    assert score(run, "test", "attention") is not None
    for line, theirs in zip(lines, hypotheses_of("aed"), strict=True):
        ours = scores_of(line)
        assert list(ours)[0] == list(theirs)[0]
        assert ours.keys() == theirs.keys()
        # There, the number of symbols of the longest is counted, less by one than it should be.
        ratios = [ours[labels] / total for labels, total in theirs.items()]
        agree(torch.tensor(ratios), torch.full((len(ratios),), ratios[0]))


def test_texts_are_split_by_the_merges(run: Path) -> None:
    tokenizer = open_run(run).tokenizer
    text, expected = json.loads(said("aed")["split"])
    symbols = tokenizer.vocabulary.symbols
    assert " ".join(symbols[label] for label in tokenizer.encode(text)) == expected
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_weights_go_back_to_the_other_layout(run: Path) -> None:
    checkpoint = run.parent / "aed.pt"
    described = describe("returnn", run.parent / "config.yaml", None, read_tensors(checkpoint))
    theirs = restored(open_run(run).model("average")[0].state_dict(), described.rules)
    assert len(theirs) == sum(name.startswith("model.") for name in TENSORS)
    for name, tensor in theirs.items():
        agree(tensor, TENSORS[f"model.{name}"])


def test_a_model_of_ctc_alone_is_imported(tmp_path: Path) -> None:
    parts = "enc_ctx|inv_|target_|s[_.]|weight_|energy|readout|output_prob"
    checkpoint = put_returnn(tmp_path, without=f"({parts})")
    model = recogniser(import_model("returnn", checkpoint, tmp_path / "run").run)
    assert list(model.heads) == ["ctc_1", "ctc_2"]
    decoding = open_run(tmp_path / "run").resolved["decoding"]
    assert decoding["ctc_greedy"]["scorers"] == {"ctc_2": 1.0}


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
def test_scores_of_language_models_agree(kind: str, tmp_path: Path) -> None:
    checkpoint = put_returnn(tmp_path, kind)
    run = import_model("returnn", checkpoint, tmp_path / "run").run
    check_language_model(run, stored(kind))


def check_language_model(run: Path, expected: dict[str, Tensor]) -> None:
    """All at once and step by step, a language model's scores are those of RETURNN."""
    model, _ = open_run(run).model("average")
    assert isinstance(model, LanguageModel)
    read = (expected["read"] - 1) % SIZE
    nothing = torch.zeros(1, 0, dtype=torch.bool)
    with torch.no_grad():
        scores = model.decoder(read[None], None, nothing)
        agree(scores, expected["scores"][..., ENDED])
        memory = model.decoder.begin(None, nothing)
        state = model.decoder.initial_state(memory)
        for label, log_probs in zip(read, scores[0].log_softmax(1), strict=True):
            found, state = model.decoder.step(state, label[None], memory)
            agree(found[0], log_probs)


def test_an_internal_language_model_stands_beside_its_recogniser(
    run: Path, model: AsrModel, tmp_path: Path
) -> None:
    checkpoint = put_returnn(tmp_path, "mini_lstm")
    with pytest.raises(UserError, match="say whose, with --decoder-of RUN"):
        import_model("returnn", checkpoint, tmp_path / "run")
    imported = import_model("returnn", checkpoint, tmp_path / "run", decoder_of=run)
    check_language_model(imported.run, stored("mini_lstm"))
    found, _ = open_run(imported.run).model("average")
    assert isinstance(found, LanguageModel)
    assert found.stands_beside(model.heads["attention"])


def test_an_unknown_kind_and_settings_are_named_at_once(tmp_path: Path) -> None:
    torch.save({"model": {"layer.weight": torch.zeros(2)}}, tmp_path / "model.pt")
    config = "labels: {file: a}\nencoders: 2\nlabel: 1\n"
    (tmp_path / "config.yaml").write_text(config)
    result = CliRunner().invoke(
        main, ["import", "returnn", f"{tmp_path}/model.pt", "--out", f"{tmp_path}/run"]
    )
    assert result.exit_code != 0
    for part in (
        "got tensors such as layer.weight",
        "labels.file: unknown",
        "expected the vocab_file",
        "encoders: unknown, expected labels, prefix",
        "label: unknown",
    ):
        assert part in result.output
    assert not (tmp_path / "run").exists()


def test_gates_of_another_order_and_a_forget_bias_are_brought_to_those_here(
    run: Path, tmp_path: Path
) -> None:
    config = RECOGNISER + "decoder: {parts_order: ifco, forget_bias: 1.0}\n"
    (tmp_path / "config.yaml").write_text(config)
    weights = {n.removeprefix("model."): t for n, t in TENSORS.items() if n.startswith("model.")}
    for name in ("s.ff_weight", "s.rec_weight", "s.bias"):
        j, i, f, o = weights[name].chunk(4)
        weights[name] = torch.cat([i, f - 1.0 if name == "s.bias" else f, j, o])
    torch.save({"model": weights}, tmp_path / "model.pt")
    for each in ("bpe.vocab", "bpe.codes"):
        (tmp_path / each).write_text((HERE / each).read_text())
    other = recogniser(import_model("returnn", tmp_path / "model.pt", tmp_path / "run").run)
    theirs, ours = decoder_of(recogniser(run)), decoder_of(other)
    agree(ours.cell.bias_ih, theirs.cell.bias_ih)
    agree(ours.cell.weight_hh, theirs.cell.weight_hh)


def decoder_of(model: AsrModel) -> LstmDecoder:
    head = model.heads["attention"]
    assert isinstance(head, AttentionHead)
    assert isinstance(head.decoder, LstmDecoder)
    return head.decoder


def test_the_tensors_of_the_public_model_give_the_recipe_s_own(tmp_path: Path) -> None:
    labels = ["</s>", *map(str, range(LABELS - 1))]
    (tmp_path / "labels.txt").write_text("\n".join(labels) + "\n")
    config = "labels: {vocab_file: labels.txt}\nencoder: {pos_emb_dropout: 0.1}\n"
    (tmp_path / "config.yaml").write_text(config)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes().items()}
    count = sum(tensor.numel() for name, tensor in tensors.items() if ".running_" not in name)
    assert count == 108_668_093
    described = describe("returnn", tmp_path / "config.yaml", None, tensors)
    import_all()
    experiment, ours = resolve_spec(Spec(described.tree))
    with torch.device("meta"):
        model = experiment.model(vocabulary=Vocabulary(described.units.symbols))
    found = renamed(model.state_dict(), tensors, described.rules)
    assert not found.missing
    assert not found.unused
    _, recipe = resolve_spec(load_spec(AED))
    front = recipe["model"]["encoder"]["frontend"]["conv2d"]
    front |= {"kernel_sizes": [3, 3, 3], "time_pools": [1, 1, 1]}  # as they are where null
    lstm = recipe["model"]["heads"]["attention"]["decoder"]["lstm"]
    lstm["share_zoneout"] = False  # of training alone
    assert ours["model"]["encoder"] == recipe["model"]["encoder"]
    assert ours["model"]["heads"] == recipe["model"]["heads"]
    speech = recipe["model"]["features"]
    speech["log_base"] = pytest.approx(speech["log_base"], rel=1e-7)
    assert ours["model"]["features"] == speech


@pytest.fixture(scope="module")
def tensorflow_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    return import_model("returnn", put_returnn(folder, "tf", ".safetensors"), folder / "run").run


def test_a_checkpoint_of_tensorflow_layers_agrees_layer_by_layer(tensorflow_run: Path) -> None:
    model, expected = recogniser(tensorflow_run), stored("tf")
    ctc = model.heads["ctc"]
    assert isinstance(ctc, CtcHead)
    with torch.no_grad():
        encoded, found = layers_of(model, TENSORS["signal.0"])
        for name, output in found.items():
            agree(output, expected[f"0.{name}"])
        agree(ctc.symbol_log_probs(encoded), expected["0.ctc"][..., [*ENDED, SIZE]])
        agree(logits_of(model, encoded, "0"), expected["0.attention"][..., ENDED])


def test_the_search_of_tensorflow_layers_finds_the_same_with_the_same_scores(
    tensorflow_run: Path,
) -> None:
    lines = found_by(tensorflow_run, SIGNALS, "attention", "beam_size=4")
    for line, theirs in zip(lines, hypotheses_of("tf"), strict=True):
        ours = scores_of(line)
        assert list(ours) == list(theirs)
        agree(torch.tensor(list(ours.values())), torch.tensor(list(theirs.values())))
