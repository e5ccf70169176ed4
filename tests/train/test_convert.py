from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ultraclean.errors import DataError
from ultraclean.train import export_model, import_model
from ultraclean.train.model import MiniCPM4

Make = Callable[..., MiniCPM4]
LONG = {
    "short_factor": [1.0, 1.1, 1.3, 1.7],
    "long_factor": [1.0, 1.5, 4.0, 9.0],
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, dict[str, Any]] = {
    "tied": {"dim_model_base": 16},
    "untied": {"tie_word_embeddings": False, "num_hidden_layers": 3, "scale_depth": 1.1},
    "longrope": {"rope_scaling": LONG},
    "wide heads": {"head_dim": 16},
    "ternary": {"ternary_group": 16},
    "mtp": {"mtp": True},
}


@pytest.fixture(autouse=True)
def _transformers_warns() -> Iterator[None]:
    """What transformers warns of on import and on loading is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tokens(length: int) -> torch.Tensor:
    return torch.randint(0, 300, (2, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("format", ["granite", "llama"])
@pytest.mark.parametrize("name", MODELS)
def test_transformers_gives_the_same_logits(
    make_model: Make, tmp_path: Path, format: Any, name: str
) -> None:
    transformers = pytest.importorskip("transformers")
    model = make_model(**MODELS[name])
    export_model(model, str(tmp_path), format)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert (
        type(theirs).__name__
        == {"granite": "GraniteForCausalLM", "llama": "LlamaForCausalLM"}[format]
    )
    for length in (40, 100):  # below and beyond the length at which the long factors take over
        with torch.no_grad():
            expected = theirs(tokens(length)).logits
            assert float((model.logits(tokens(length)) - expected).abs().max()) < 1e-4


def test_transformers_trains_to_the_same_losses(make_model: Make, tmp_path: Path) -> None:
    """The same weights, data and optimiser in GraniteForCausalLM: 12 steps, to 1e-3."""
    transformers = pytest.importorskip("transformers")
    ours = make_model(dim_model_base=16)
    export_model(ours, str(tmp_path), "granite")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    batches = [tokens(24 + step % 2) for step in range(12)]
    curves = []
    for model in (ours, theirs):
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for batch in batches:
            if model is ours:
                loss = model(batch[:, :-1], batch[:, 1:])[0].mean()
            else:
                loss = model(input_ids=batch, labels=batch).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        curves.append(losses)
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)
    assert curves[0][-1] < curves[0][0]


@pytest.mark.parametrize("format", ["granite", "llama", "minicpm"])
@pytest.mark.parametrize("name", MODELS)
def test_an_export_comes_back_as_the_same_function(
    make_model: Make, tmp_path: Path, format: Any, name: str
) -> None:
    model = make_model(**MODELS[name])
    export_model(model, str(tmp_path), format)
    again = import_model(str(tmp_path))
    for length in (40, 100):
        difference = model.logits(tokens(length)) - again.logits(tokens(length))
        assert float(difference.detach().abs().max()) < 1e-4


def test_minicpm_has_the_released_names(make_model: Make, tmp_path: Path) -> None:
    sparse = {"topk": 16, "window_size": 512}
    model = make_model(
        attention="sparse", sparse_config=sparse, rope_scaling=LONG, tie_word_embeddings=False
    )
    export_model(model, str(tmp_path), "minicpm", dtype="bfloat16")
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["architectures"] == ["MiniCPMForCausalLM"]
    assert (described["scale_emb"], described["scale_depth"]) == (12, 1.4)
    assert described["rope_scaling"] == {"rope_type": "longrope", **LONG}
    assert described["sparse_config"] == {
        "kernel_size": 32, "kernel_stride": 16, "init_blocks": 1, "block_size": 64,
        "window_size": 512, "topk": 16, "use_nope": False, "dense_len": 8192,
    }  # fmt: skip
    weights = load_file(tmp_path / "model.safetensors")
    assert {one.dtype for one in weights.values()} == {torch.bfloat16}
    layer = {name.removeprefix("model.layers.1.") for name in weights if ".layers.1." in name}
    assert layer == {
        "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight",
        "self_attn.o_proj.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight",
        "mlp.down_proj.weight", "input_layernorm.weight", "post_attention_layernorm.weight",
    }  # fmt: skip
    rest = {name for name in weights if ".layers." not in name}
    assert rest == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    assert import_model(str(tmp_path)).config == model.config


def test_a_ternary_export_holds_three_values_per_group(make_model: Make, tmp_path: Path) -> None:
    export_model(make_model(ternary_group=16), str(tmp_path), "granite")
    weight = load_file(tmp_path / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    for group in weight.view(-1, 16):
        assert len(group.abs().unique()) <= 2  # 0 and the scale


def test_the_tokenizer_goes_along(make_model: Make, tmp_path: Path, tokenizer_file: str) -> None:
    transformers = pytest.importorskip("transformers")
    export_model(make_model(), str(tmp_path), "granite", tokenizer=tokenizer_file)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = theirs.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    described = json.loads((tmp_path / "config.json").read_text())
    assert (described["bos_token_id"], described["eos_token_id"]) == (0, [1, 3])


def test_a_released_checkpoint_in_several_files_loads(make_model: Make, tmp_path: Path) -> None:
    """As MiniCPM4-8B comes: bfloat16 shards with an index, or pytorch_model files."""
    model = make_model(tie_word_embeddings=False)
    export_model(model, str(tmp_path), "minicpm")
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(weights)
    files = {
        "model-00001-of-00002.safetensors": names[::2],
        "model-00002-of-00002.safetensors": names[1::2],
    }
    for file, part in files.items():
        save_file({name: weights[name] for name in part}, tmp_path / file)
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(import_model(str(tmp_path)).logits(tokens(20)), model.logits(tokens(20)))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(DataError, match=r"cut short: .* names model-00002-of-00002.safetensors"):
        import_model(str(tmp_path))
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert torch.equal(import_model(str(tmp_path)).logits(tokens(20)), model.logits(tokens(20)))


def test_an_import_can_be_changed(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    export_model(model, str(tmp_path), "granite")
    more = import_model(str(tmp_path), mtp=True, ternary_group=16)
    assert more.config.mtp and more.config.ternary_group == 16
    assert torch.equal(more.model.norm.weight, model.model.norm.weight)


def change(folder: Path, **fields: Any) -> None:
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, **fields}))


def test_what_is_not_this_model_is_refused(
    make_model: Make, tmp_path: Path, tokenizer_file: str
) -> None:
    for number, (fields, message) in enumerate(
        [
            ({"model_type": "gpt2"}, "model_type 'gpt2' is none of granite, minicpm, llama"),
            ({"attention_bias": True}, "attention_bias is set"),
            ({"attention_multiplier": 1.0}, "attention_multiplier is not"),
            ({"logits_scaling": 3.3}, "no whole width"),
            ({"rope_parameters": {"rope_type": "yarn"}}, "RoPE of the type 'yarn'"),
            ({"num_hidden_layers": 3}, r"does not fit the model of this run: lacks model.layers.2"),
            (
                {"intermediate_size": 96},
                r"mlp.down_proj.weight is \[32, 80\], the model's \[32, 96\]",
            ),
        ]
    ):
        folder = tmp_path / str(number)
        export_model(make_model(), str(folder), "granite")
        change(folder, **fields)
        with pytest.raises(DataError, match=message):
            import_model(str(folder))
    with pytest.raises(DataError, match=r"has neither checkpoint.json nor config.json"):
        import_model(str(tmp_path))
    export_model(make_model(vocab_size=200), str(tmp_path / "small"))
    with pytest.raises(
        DataError, match=r"tokenizer.json has 300 tokens, but the embedding of .* 200"
    ):
        import_model(str(tmp_path / "small"), tokenizer=tokenizer_file)
    (tmp_path / "small" / "model.safetensors").unlink()
    with pytest.raises(DataError, match="has no weights"):
        import_model(str(tmp_path / "small"))


def test_a_file_cut_short_is_refused(make_model: Make, tmp_path: Path) -> None:
    export_model(make_model(), str(tmp_path))
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    for n_bytes in (4, 100, len(content) - 1):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(DataError, match="was cut short or is damaged"):
            import_model(str(tmp_path))
