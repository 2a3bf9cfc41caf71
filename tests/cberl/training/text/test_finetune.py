"""Fine-tuning of the text encoder: its examples, its training, and the export."""

import json
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx as onnx_package
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch.optim.lr_scheduler import LambdaLR
from transformers import MPNetConfig, MPNetModel

from cberl.data.dialogue import UNLABELLED, Dialogue, Line
from cberl.encoders.text import TextEncoder, TextInput
from cberl.errors import EncoderError, TrainingError
from cberl.hub import HubError
from cberl.metrics import Scores, score
from cberl.training.text.checkpoint import TextTraining, load, prompt_of, save
from cberl.training.text.classifier import batches, collate, examples, load_base, predict
from cberl.training.text.export import cost, export
from cberl.training.text.finetune import average, finetune
from cberl.training.text.restore import restore
from cberl.training.text.task import Task

SAID = (("great news", 0), ("go away", 1), ("so happy", 0), ("I hate it", 1))
CONFIG = TextTraining(epochs=2, batch_size=8, learning_rate=2e-4, max_tokens=24, word_noise=0.3, strip_punctuation=0.5)


def talk(name: str, *said: tuple[str, int]) -> Dialogue:
    return Dialogue(name, tuple(Line("ab"[n % 2], text, label, n, n + 1.0) for n, (text, label) in enumerate(said)))


def task(corpus: str, flip: bool) -> Task:
    """Two labels; the other corpus has them in reverse, so that it needs a head of its own."""
    said = [(text, label ^ flip) for text, label in SAID]
    return Task(
        corpus, ("y", "x") if flip else ("x", "y"), [talk("one", *said), talk("two", *said[::-1])], [talk("dev", *said)]
    )


TASKS = (task("first", False), task("second", True))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two epochs on both corpora: four steps with eight short rows each."""
    folder = tmp_path_factory.mktemp("text")
    best, scores = finetune(TASKS, folder, CONFIG)
    assert best in (1, 2)
    assert {corpus: one.labels for corpus, one in scores.items()} == {"first": ("x", "y"), "second": ("y", "x")}
    return folder


def loss(file: Path, one: Task) -> float:
    model, _, folder = load(file)
    rows = examples(one.train, CONFIG.past_turns)
    inputs = [prompt_of(CONFIG, folder).build(row.past, row.speaker, row.text) for row in rows]
    return float(F.cross_entropy(predict(model, one.corpus, inputs), torch.tensor([row.label for row in rows])))


def stopped_after(steps: int) -> Callable[[LambdaLR], None]:
    """A `step` of the schedule that raises after so many calls: one at construction, then one per batch."""
    original, left = LambdaLR.step, [steps]

    def step(schedule: LambdaLR) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        original(schedule)

    return step


def test_examples_are_the_labelled_lines_with_past_turns() -> None:
    found = examples([talk("t", ("one", 0), ("two", UNLABELLED), ("", 1), ("four", 1))], past_turns=2)
    assert [(one.text, one.label) for one in found] == [("one", 0), ("four", 1)]
    assert found[1].past == (("b", "two"), ("a", ""))


def test_batches_have_every_row_once_and_rows_of_similar_length() -> None:
    lengths = [random.Random(n).randint(1, 90) for n in range(203)]
    cut = list(batches(lengths, 16, random.Random(0)))
    assert sorted(row for batch in cut for row in batch) == list(range(203))
    assert max(len(batch) for batch in cut) == 16
    spread = sum(max(lengths[row] for row in batch) - min(lengths[row] for row in batch) for batch in cut) / len(cut)
    assert spread < 15  # of 89
    assert cut == list(batches(lengths, 16, random.Random(0))) != list(batches(lengths, 16, random.Random(1)))


def test_rows_are_padded_to_the_longest_and_padding_is_masked() -> None:
    ids, mask, types = collate([TextInput([7, 8, 9], [0, 1, 1]), TextInput([5], [1])])
    assert ids.tolist() == [[7, 8, 9], [5, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert types.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_two_corpora_are_trained_on_together_with_a_head_each(run: Path) -> None:
    for one in TASKS:
        assert loss(run / "epoch-2.pt", one) < loss(run / "epoch-1.pt", one) - 0.02


def test_corpora_with_one_label_set_share_a_head_but_for_its_biases(tmp_path: Path) -> None:
    """The third has the labels of the first, and hardly ever the second label."""
    third = Task("third", ("x", "y"), [talk("rare", *[(f"{text} {n}", 0) for n in range(4) for text, _ in SAID])])
    finetune([*TASKS, third], tmp_path, CONFIG)
    heads = load(tmp_path / "epoch-2.pt")[0].heads
    assert torch.equal(heads["first"].weight, heads["third"].weight)
    assert not torch.equal(heads["first"].weight, heads["second"].weight)
    first, third_bias = heads["first"].bias, heads["third"].bias
    assert third_bias[0] - third_bias[1] > first[0] - first[1]


def test_the_best_epoch_is_that_of_the_mean_over_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first corpus is better after the first epoch, the second is much better after the second."""
    right = {("first", 1): 4, ("first", 2): 3, ("second", 1): 1, ("second", 2): 4}
    seen: dict[str, int] = {}

    def scored(_: object, one: Task, __: object) -> Scores:
        seen[one.corpus] = seen.get(one.corpus, 0) + 1
        labels = np.array([0, 0, 1, 1])
        correct = np.arange(4) < right[one.corpus, seen[one.corpus]]
        return score(labels, np.where(correct, labels, 1 - labels), one.labels)

    monkeypatch.setattr("cberl.training.text.finetune.dev_scores", scored)
    best, scores = finetune(TASKS, tmp_path, CONFIG)
    assert (best, scores["second"].accuracy) == (2, 100)


def test_a_resumed_run_gives_the_same_result(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LambdaLR, "step", stopped_after(4))  # in the second epoch, of two batches each
        with pytest.raises(KeyboardInterrupt):
            finetune(TASKS, tmp_path, CONFIG)
    assert (tmp_path / "epoch-1.pt").exists()
    assert not (tmp_path / "epoch-2.pt").exists()
    with pytest.raises(TrainingError, match="started with other settings"):
        finetune(TASKS, tmp_path, replace(CONFIG, learning_rate=1e-3), resume=True)
    finetune(TASKS, tmp_path, CONFIG, resume=True)
    once, resumed = (torch.load(folder / "epoch-2.pt", weights_only=True) for folder in (run, tmp_path))
    assert once["dev"] == resumed["dev"]
    for name, value in once["model"].items():
        assert torch.equal(value, resumed["model"][name]), name


def test_a_run_starts_from_the_encoder_of_another(run: Path, tmp_path: Path) -> None:
    still = replace(CONFIG, epochs=1, learning_rate=0.0, weight_decay=0.0)
    finetune(TASKS[:1], tmp_path, still, start=run / "epoch-2.pt")
    trained, started = load(run / "epoch-2.pt")[0].encoder.state_dict(), load(tmp_path / "epoch-1.pt")[0]
    assert all(torch.equal(value, started.encoder.state_dict()[name]) for name, value in trained.items())
    assert started.classes == {"first": 2}
    save(
        tmp_path / "other.pt",
        started,
        started.classes,
        replace(still, base="other"),
        1,
        score(np.array([0]), np.array([0]), ("x", "y")),
    )
    with pytest.raises(TrainingError, match="was trained from other, not from minilm: give --base other"):
        finetune(TASKS[:1], tmp_path, still, start=tmp_path / "other.pt")


def test_the_average_of_two_files_is_the_mean_of_their_weights(run: Path, tmp_path: Path) -> None:
    files = [run / "epoch-1.pt", run / "epoch-2.pt"]
    average(files, TASKS[0], tmp_path / "mean.pt")
    one, two, mean = (torch.load(file, weights_only=True)["model"] for file in (*files, tmp_path / "mean.pt"))
    for name, value in mean.items():
        torch.testing.assert_close(value, ((one[name].double() + two[name]) / 2).to(value.dtype), atol=1e-7, rtol=1e-6)
    state = torch.load(files[1], weights_only=True)
    alone = {name: value for name, value in state["model"].items() if "second" not in name}
    torch.save(state | {"classes": {"first": 2}, "model": alone}, tmp_path / "alone.pt")
    average([files[0], tmp_path / "alone.pt"], TASKS[0], tmp_path / "mean-of-first.pt")
    both = torch.load(tmp_path / "mean-of-first.pt", weights_only=True)
    assert both["classes"] == {"first": 2}
    assert all(torch.equal(value, mean[name]) for name, value in both["model"].items())
    del alone["heads.first.weight"]
    torch.save(state | {"model": alone}, tmp_path / "other.pt")
    with pytest.raises(TrainingError, match="networks of different shapes"):
        average([files[0], tmp_path / "other.pt"], TASKS[0], tmp_path / "none.pt")


@pytest.fixture(scope="module")
def onnx(run: Path) -> Path:
    """The exported second epoch."""
    sizes = exported(run / "epoch-2.pt", run / "onnx")
    assert sizes["int8_mb"] < 0.3 * sizes["float32_mb"]
    return run / "onnx"


def test_the_exported_encoder_equals_the_trained_one(run: Path, onnx: Path) -> None:
    about = json.loads((onnx / "text.json").read_text())
    assert (about["corpora"], about["max_tokens"], about["epoch"]) == (["first", "second"], 24, 2)
    assert_same_vectors(TextEncoder(onnx), run / "epoch-2.pt")
    full, int8 = cost(run / "epoch-2.pt", onnx, TASKS[0])
    assert full.confusion.sum() == int8.confusion.sum() == sum(len(one.lines) for one in TASKS[0].dev)
    assert full.confusion.tolist() == int8.confusion.tolist()  # no example is near the decision boundary
    with pytest.raises(TrainingError, match="has heads for first, second, not third"):
        cost(run / "epoch-2.pt", onnx, replace(TASKS[0], corpus="third"))


def test_an_exported_encoder_is_restored_with_a_head_of_its_own(onnx: Path, tmp_path: Path) -> None:
    scores = restore(onnx, TASKS[0], tmp_path / "restored.pt")
    assert scores.accuracy == 100  # the dev lines are those of train
    model, state, _ = load(tmp_path / "restored.pt")
    assert (model.classes, state["epoch"]) == ({"first": 2}, 2)
    wanted = load(onnx.parent / "epoch-2.pt")[0].encoder.state_dict()
    for name, values in model.encoder.state_dict().items():
        if "pooler" not in name:
            assert (values - wanted[name]).abs().max() <= 0.51 * values.abs().max() / 127, name  # half a step of int8
    still = replace(CONFIG, epochs=1, learning_rate=0.0, weight_decay=0.0)
    finetune(TASKS[:1], tmp_path, still, start=tmp_path / "restored.pt")
    assert torch.equal(load(tmp_path / "epoch-1.pt")[0].heads["first"].weight, model.heads["first"].weight)
    other = tmp_path / "other"
    shutil.copytree(onnx, other)
    network = onnx_package.load(other / "text.onnx")
    (bias,) = (it for it in network.graph.initializer if it.name.endswith("layer.0.output.LayerNorm.bias"))
    bias.name = "another"
    onnx_package.save(network, other / "text.onnx")
    with pytest.raises(TrainingError, match="does not hold an encoder of the architecture minilm"):
        restore(other, TASKS[0], tmp_path / "none.pt")


def exported(file: Path, out: Path) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance.treespec", FutureWarning)  # raised inside torch's exporter
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # three inputs of one shape
        return export(file, out)


def assert_same_vectors(encoder: TextEncoder, file: Path) -> None:
    """As far as int8 allows."""
    model = load(file)[0].eval()
    for n, (text, _) in enumerate(SAID):
        given = encoder.prompt.build((("a", "What happened to you?"), ("b", "Nothing, why?"))[:n], "a", text)
        (vector,) = encoder.encode([given])
        with torch.inference_mode():
            (wanted,) = model.vector(*collate([given])).numpy()
        cosine = vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted)
        assert cosine > 0.995
        assert np.abs(vector - wanted).max() < 0.15 * np.abs(wanted).max()


@pytest.fixture
def roberta(tmp_path: Path) -> Path:
    """A tiny encoder with RoBERTa's special tokens and position ids, without token types, in the usual files."""
    folder = tmp_path / "roberta"
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    said = [text for text, _ in SAID]
    tokenizer.train_from_iterator(said, BpeTrainer(special_tokens=special, initial_alphabet=ByteLevel.alphabet()))
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = MPNetConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=96, **size)
    MPNetModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_an_encoder_like_roberta_is_fine_tuned_and_exported(roberta: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, base=str(roberta), max_tokens=64, learning_rate=1e-2)
    finetune(TASKS[:1], tmp_path, config)
    assert loss(tmp_path / "epoch-2.pt", TASKS[0]) < loss(tmp_path / "epoch-1.pt", TASKS[0])
    exported(tmp_path / "epoch-2.pt", tmp_path / "onnx")
    encoder = TextEncoder(tmp_path / "onnx")
    assert encoder.dim == 32
    assert_same_vectors(encoder, tmp_path / "epoch-2.pt")


def test_an_unavailable_base_is_one_sentence(roberta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (roberta / "tokenizer.json").unlink()
    with pytest.raises(
        EncoderError, match=r"tokenizer\.json is missing: the folder of a base encoder holds config\.json"
    ):
        load_base(str(roberta))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="someone/encoder is neither a folder nor in the local cache"):
        load_base("someone/encoder")
