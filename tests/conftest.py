"""Fixtures that all tests share."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ultraclean.executors import Executor, InlineExecutor

ROOT = Path(__file__).parent.parent

# No deadlines, since machines are shared; on CI the same examples every time, so that a run that
# fails fails again. Elsewhere the examples are new in each run.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real text, pages and labels beside the project; a fresh machine does not have them."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared test data is not beside the project")
    return folder


@pytest.fixture(scope="session")
def ray_executor(s3_server: str) -> Iterator[Executor]:
    """One local Ray for the whole session."""
    from ultraclean.executors.ray import RayExecutor

    executor = RayExecutor("local", num_cpus=2, object_store_memory=200 * 2**20)
    yield executor
    executor.close()


@pytest.fixture(params=["inline", "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    """Both executors: what a test says of one it says of the other."""
    if request.param == "inline":
        return InlineExecutor()
    return request.getfixturevalue("ray_executor")


WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "his",
    "but",
    "at",
    "are",
    "this",
    "have",
    "from",
    "or",
    "had",
    "an",
    "they",
    "which",
    "one",
    "you",
    "were",
    "her",
    "all",
    "she",
    "there",
    "would",
    "their",
    "we",
    "him",
    "been",
    "has",
    "when",
    "who",
    "will",
    "more",
    "no",
    "if",
    "out",
    "so",
    "said",
    "what",
    "up",
    "its",
    "about",
    "into",
    "than",
    "them",
    "can",
    "only",
    "other",
    "new",
    "some",
    "could",
    "time",
]


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Path]:
    """Writes JSON lines of readable nonsense: some duplicates, some broken lines, all by seed."""

    def make(
        folder: Path, n_files: int = 4, n_docs: int = 200, seed: int = 1, broken: bool = True
    ) -> Path:
        rng = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        texts: list[str] = []
        for number in range(n_files):
            lines = []
            for row in range(n_docs):
                if texts and rng.random() < 0.1:
                    text = rng.choice(texts)
                else:
                    text = "\n".join(
                        " ".join(rng.choices(WORDS, k=rng.randint(3, 15))).capitalize() + "."
                        for _ in range(rng.randint(1, 12))
                    )
                    texts.append(text)
                record = {"id": f"{number}-{row}", "text": text, "score": rng.random()}
                lines.append(json.dumps(record))
                if broken and rng.random() < 0.02:
                    lines.append('{"id": "cut short", "te')
            (folder / f"part-{number}.jsonl").write_text("\n".join(lines) + "\n")
        return folder

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server that lives as long as the session."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def s3_folder(s3_server: str, request: pytest.FixtureRequest) -> str:
    """A new bucket."""
    import s3fs

    bucket = f"b{uuid.uuid4().hex[:16]}"
    s3fs.S3FileSystem(endpoint_url=s3_server, skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def make_classifier() -> Callable[..., Path]:
    """Saves a tiny classifier of transformers with random weights, and a tokenizer of `texts`."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

    def make(folder: Path, texts: list[str], kind: str = "bert", **config: object) -> Path:
        import warnings

        import torch
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=800, special_tokens=special)  # type: ignore[call-arg]
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of transformers, on import
            import transformers

            names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
            wrapped = transformers.PreTrainedTokenizerFast(
                tokenizer_object=tokenizer, **{f"{name}_token": one for name, one in names.items()}
            )
            wrapped.save_pretrained(folder)
            sizes = {"vocab_size": 800, "hidden_size": 32, "num_hidden_layers": 2}
            sizes |= {"num_attention_heads": 2, "intermediate_size": 48, "pad_token_id": 0}
            sizes |= {"max_position_embeddings": 128}
            torch.manual_seed(5)
            told = transformers.AutoConfig.for_model(kind, **{**sizes, **config})
            model = transformers.AutoModelForSequenceClassification.from_config(told)
            for weight in model.parameters():  # far from zero, so that outputs differ
                torch.nn.init.normal_(weight, std=0.25) if weight.ndim > 1 else None
            model.save_pretrained(folder)
        return folder

    return make
