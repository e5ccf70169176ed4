"""Models for other programs, and from them: `granite`, `minicpm` and `llama`.

All three have the same weight names. `granite` is mathematically MiniCPM and is native in
transformers, vLLM and llama.cpp; its fields take the muP scales. `minicpm` is the released format,
with `sparse_config`, for the remote code of OpenBMB, vLLM, SGLang and llama.cpp. `llama` has no
muP scales, so they are folded into the weights, which needs an output head of its own.
Ternary weights are exported rounded. The head for the token after the next is left out.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.train.chat import BEGIN, END
from ultraclean.train.checkpoint import RECORD, load_weights, read_model, read_tensors
from ultraclean.train.config import LongRope, ModelConfig, SparseConfig
from ultraclean.train.model import MiniCPM4, empty_model, initialise
from ultraclean.train.shards import load_tokenizer
from ultraclean.train.ternary import TernaryLinear, ternary

Format = Literal["granite", "minicpm", "llama"]

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


# --- export -----------------------------------------------------------------------------------


def export_model(
    model: MiniCPM4,
    folder: str,
    format: Format = "granite",
    tokenizer: str | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Writes config.json, model.safetensors and, from a tokenizer.json, the tokenizer's files."""
    config = model.config
    special = _special_ids(tokenizer)
    kind = torch.float32 if dtype == "float32" else torch.bfloat16
    weights = _finished_weights(model)
    if format == "llama":
        weights = _folded(weights, config)
    described = {"granite": _granite, "minicpm": _minicpm, "llama": _llama}[format](config)
    tensors = {name: weight.to(kind).contiguous() for name, weight in weights.items()}
    content = save_tensors(tensors, metadata={"format": "pt"})
    storage.write_bytes(storage.join(folder, "model.safetensors"), content)
    if tokenizer is not None:
        _write_tokenizer(folder, tokenizer, config)
    settings = {**described, **special, "torch_dtype": dtype}
    storage.write_json(storage.join(folder, "config.json"), settings)


def _finished_weights(model: MiniCPM4) -> dict[str, Tensor]:
    """What the network multiplies by: ternary layers rounded, the additional head left out."""
    weights = {
        name: parameter.detach().cpu().float()
        for name, parameter in model.named_parameters()
        if not name.startswith("mtp.")
    }
    for name, layer in model.named_modules():
        if isinstance(layer, TernaryLinear) and not name.startswith("mtp."):
            weights[f"{name}.weight"] = ternary(weights[f"{name}.weight"], layer.group)
    return weights


def _folded(weights: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    folded = dict(weights)
    folded[_HEAD] = weights.get(_HEAD, weights[_EMBEDDING]) / config.width_ratio
    folded[_EMBEDDING] = weights[_EMBEDDING] * config.scale_emb
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            folded[name] = weight * config.branch_scale
    return folded


def _shape(config: ModelConfig) -> dict[str, Any]:
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "num_key_value_heads max_position_embeddings rms_norm_eps initializer_range"
    )
    shape = {name: getattr(config, name) for name in names.split()}
    shape |= {"hidden_act": "silu", "head_dim": config.head_width, "attention_bias": False}
    return shape


def _rope_parameters(config: ModelConfig) -> dict[str, Any]:
    if config.rope_scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    scaling = config.rope_scaling.model_dump(mode="json")
    factor = config.max_position_embeddings / scaling["original_max_position_embeddings"]
    return {
        "rope_type": "longrope",
        "rope_theta": config.rope_theta,
        "factor": factor,
        **scaling,
    }


def _granite(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GraniteForCausalLM"],
        "model_type": "granite",
        **_shape(config),
        "tie_word_embeddings": config.tie_word_embeddings,
        "rope_parameters": _rope_parameters(config),
        "embedding_multiplier": config.scale_emb,
        "residual_multiplier": config.branch_scale,
        "attention_multiplier": config.head_width**-0.5,
        "logits_scaling": config.width_ratio,
    }


def _llama(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **_shape(config),
        "tie_word_embeddings": False,
        "rope_parameters": _rope_parameters(config),
    }


def _minicpm(config: ModelConfig) -> dict[str, Any]:
    remote = "openbmb/MiniCPM4-8B--"
    described = {
        "architectures": ["MiniCPMForCausalLM"],
        "model_type": "minicpm",
        "auto_map": {  # the code is OpenBMB's; transformers fetches it under trust_remote_code
            "AutoConfig": f"{remote}configuration_minicpm.MiniCPMConfig",
            "AutoModel": f"{remote}modeling_minicpm.MiniCPMModel",
            "AutoModelForCausalLM": f"{remote}modeling_minicpm.MiniCPMForCausalLM",
        },
        **_shape(config),
        "tie_word_embeddings": config.tie_word_embeddings,
        "rope_theta": config.rope_theta,
        "scale_emb": config.scale_emb,
        "scale_depth": config.scale_depth,
        "dim_model_base": config.dim_model_base,
        "mup_denominator": 32,
    }
    if config.rope_scaling is not None:
        scaling = config.rope_scaling.model_dump(mode="json")
        described["rope_scaling"] = {"rope_type": "longrope", **scaling}
    if config.blocks is not None:
        described["sparse_config"] = config.blocks.model_dump(mode="json")
    return described


def _special_ids(tokenizer: str | None) -> dict[str, Any]:
    """Ids of the tokens that begin and end; those of the released models without a tokenizer."""
    if tokenizer is None:
        return {"bos_token_id": 1, "eos_token_id": 2}
    known = load_tokenizer(tokenizer)
    ends = [i for i in (known.token_to_id("</s>"), known.token_to_id(END)) if i is not None]
    return {"bos_token_id": known.token_to_id(BEGIN), "eos_token_id": ends or None}


def _write_tokenizer(folder: str, tokenizer: str, config: ModelConfig) -> None:
    known = load_tokenizer(tokenizer)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "chat_template": _CHAT_TEMPLATE,
    }
    marks = {"bos_token": BEGIN, "eos_token": "</s>"}
    settings |= {key: mark for key, mark in marks.items() if known.token_to_id(mark) is not None}
    storage.write_bytes(storage.join(folder, "tokenizer.json"), storage.read_bytes(tokenizer))
    storage.write_json(storage.join(folder, "tokenizer_config.json"), settings)


# --- import -----------------------------------------------------------------------------------


def import_model(folder: str, tokenizer: str | None = None, **changes: Any) -> MiniCPM4:
    """A model, on the CPU, from one of our checkpoints or from a folder in one of the formats.

    Weights may be in one safetensors file, in several with an index, or in pytorch_model files.
    `tokenizer` is checked to fit the embedding. `changes` are fields of ModelConfig to set anew
    (`attention="sparse"`, `ternary_group=128`).
    """
    if storage.exists(storage.join(folder, RECORD)):
        model, _ = read_model(folder)
        if changes:
            model = _changed(model, changes)
    elif storage.exists(storage.join(folder, "config.json")):
        described = storage.read_json(storage.join(folder, "config.json"))
        config = ModelConfig.model_validate({**read_config(described, folder), **changes})
        model = empty_model(config)
        _load_but_mtp(model, _read_weights(folder, config), folder)
    else:
        raise DataError(f"{folder} is no model: it has neither {RECORD} nor config.json")
    if tokenizer is not None:
        check_tokenizer(tokenizer, model.config, folder)
    return model


def _changed(model: MiniCPM4, changes: dict[str, Any]) -> MiniCPM4:
    config = ModelConfig.model_validate({**model.config.model_dump(), **changes})
    if config == model.config:
        return model
    again = empty_model(config)
    _load_but_mtp(again, dict(model.named_parameters()), "the model")
    return again


def _load_but_mtp(model: MiniCPM4, tensors: dict[str, Tensor], source: str) -> None:
    """Released models have no head for the token after the next: a new one keeps its first values."""
    ours = dict(model.named_parameters())
    tensors = {name: one for name, one in tensors.items() if name in ours or "mtp." not in name}
    if any(name.startswith("mtp.") and name not in tensors for name in ours):
        initialise(model, seed=0)
        tensors |= {name: one for name, one in ours.items() if name.startswith("mtp.")}
    load_weights(model, tensors, source)


def check_tokenizer(tokenizer: str, config: ModelConfig, source: str) -> None:
    size = load_tokenizer(tokenizer).get_vocab_size()
    if size > config.vocab_size:
        raise DataError(
            f"{tokenizer} has {size} tokens, but the embedding of {source} has {config.vocab_size} "
            "rows: it is another model's tokenizer"
        )


def read_config(described: dict[str, Any], source: str) -> dict[str, Any]:
    """Our fields from a config.json of one of the formats."""
    kind = described.get("model_type")
    if kind not in ("granite", "minicpm", "minicpm4", "llama"):
        raise DataError(f"{source}: model_type {kind!r} is none of granite, minicpm, llama")
    for key in ("attention_bias", "mlp_bias"):
        if described.get(key):
            raise DataError(f"{source}: {key} is set, and this model has no biases")
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "num_key_value_heads max_position_embeddings rms_norm_eps initializer_range head_dim "
        "tie_word_embeddings"
    )
    fields = {name: described[name] for name in names.split() if described.get(name) is not None}
    fields.setdefault("num_key_value_heads", described["num_attention_heads"])
    layers, width = fields["num_hidden_layers"], fields["hidden_size"]
    if fields.get("head_dim") == width / fields["num_attention_heads"]:
        del fields["head_dim"]  # said, and the default
    if kind == "granite":
        heads = fields.get("head_dim") or width // fields["num_attention_heads"]
        if abs(described["attention_multiplier"] - heads**-0.5) > 1e-6:
            raise DataError(f"{source}: attention_multiplier is not 1 / sqrt({heads})")
        fields["scale_emb"] = described["embedding_multiplier"]
        fields["scale_depth"] = described["residual_multiplier"] * layers**0.5
        base = width / described["logits_scaling"]
        if abs(base - round(base)) > 1e-3:
            raise DataError(f"{source}: hidden_size over logits_scaling is {base}, no whole width")
        fields["dim_model_base"] = round(base)
    elif kind == "llama":
        fields |= {"scale_emb": 1.0, "scale_depth": layers**0.5, "dim_model_base": width}
    else:
        for name in ("scale_emb", "scale_depth", "dim_model_base"):
            fields[name] = described[name]
    if (sparse := described.get("sparse_config")) is not None:
        known = {key: sparse[key] for key in SparseConfig.model_fields if key in sparse}
        fields |= {"attention": "sparse", "sparse_config": known}
    return fields | _read_rope(described, source)


def _read_rope(described: dict[str, Any], source: str) -> dict[str, Any]:
    """RoPE in the words of transformers 5 (`rope_parameters`) or of the versions before."""
    rope = described.get("rope_parameters") or described.get("rope_scaling") or {}
    theta = rope.get("rope_theta", described.get("rope_theta", 10000.0))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return {"rope_theta": theta}
    if kind != "longrope":
        raise DataError(
            f"{source}: RoPE of the type {kind!r}; this model knows default and longrope"
        )
    kept = {key: rope[key] for key in ("short_factor", "long_factor")}
    original = rope.get(
        "original_max_position_embeddings",
        described.get("original_max_position_embeddings", described["max_position_embeddings"]),
    )
    return {
        "rope_theta": theta,
        "rope_scaling": LongRope(**kept, original_max_position_embeddings=original),
    }


def _read_weights(folder: str, config: ModelConfig) -> dict[str, Tensor]:
    names = storage.names_in(folder)
    tensors: dict[str, Tensor] = {}
    if safe := [name for name in names if name.endswith(".safetensors")]:
        index = "model.safetensors.index.json"
        if index in names:
            listed = storage.read_json(storage.join(folder, index))["weight_map"].values()
            if missing := sorted(set(listed) - set(safe)):
                raise DataError(f"{folder} was cut short: {index} names {', '.join(missing)}")
            safe = sorted(set(listed))
        for name in safe:
            tensors |= read_tensors(storage.join(folder, name))
    else:
        for name in names:
            if name.startswith("pytorch_model") and name.endswith(".bin"):
                with storage.open_read(storage.join(folder, name)) as stream:
                    tensors |= torch.load(stream, map_location="cpu", weights_only=True)
    if not tensors:
        raise DataError(f"{folder} has no weights: neither *.safetensors nor pytorch_model*.bin")
    if config.tie_word_embeddings:
        tensors.pop(_HEAD, None)  # some programs save the shared matrix twice
    return {name: one for name, one in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
