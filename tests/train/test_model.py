from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ultraclean.train import ModelConfig
from ultraclean.train.model import IGNORED, MiniCPM4, after_next, initialise, is_matrix
from ultraclean.train.ternary import TernaryLinear, ternary

Make = Callable[..., MiniCPM4]


def some_tokens(n_rows: int = 2, length: int = 48, seed: int = 0) -> Tensor:
    return torch.randint(0, 300, (n_rows, length), generator=torch.Generator().manual_seed(seed))


def plain_forward(model: MiniCPM4, tokens: Tensor) -> Tensor:
    """The network once more, from the report, without any of our modules: float64 logits."""
    config = model.config
    weights = {name: one.detach().double() for name, one in model.named_parameters()}
    width, group = config.head_width, config.num_attention_heads // config.num_key_value_heads

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weights[name]

    def turned(x: Tensor) -> Tensor:  # [T, heads, E]: complex numbers times e^(i angle)
        half = width // 2
        angle = torch.arange(len(x)).double()[:, None, None] * 10000.0 ** (
            -2 * torch.arange(half).double() / width
        )
        z = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([z.real, z.imag], dim=-1)

    rows = []
    for row in tokens:
        x = weights["model.embed_tokens.weight"][row] * config.scale_emb
        for layer in range(config.num_hidden_layers):
            at = f"model.layers.{layer}"
            y = norm(x, f"{at}.input_layernorm.weight")
            q, k, v = (
                (y @ weights[f"{at}.self_attn.{one}_proj.weight"].T).view(len(row), -1, width)
                for one in "qkv"
            )
            q, k = turned(q), turned(k)
            heads = []
            for head in range(config.num_attention_heads):
                scores = q[:, head] @ k[:, head // group].T / math.sqrt(width)
                scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
                heads.append(scores.softmax(-1) @ v[:, head // group])
            out = torch.cat(heads, -1) @ weights[f"{at}.self_attn.o_proj.weight"].T
            x = x + out * config.scale_depth / math.sqrt(config.num_hidden_layers)
            y = norm(x, f"{at}.post_attention_layernorm.weight")
            up = y @ weights[f"{at}.mlp.up_proj.weight"].T
            gate = functional.silu(y @ weights[f"{at}.mlp.gate_proj.weight"].T)
            out = (gate * up) @ weights[f"{at}.mlp.down_proj.weight"].T
            x = x + out * config.scale_depth / math.sqrt(config.num_hidden_layers)
        x = norm(x, "model.norm.weight") / (config.hidden_size / config.dim_model_base)
        head_weight = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
        rows.append(x @ head_weight.T)
    return torch.stack(rows)


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_the_report(make_model: Make, tied: bool) -> None:
    model = make_model(tie_word_embeddings=tied, dim_model_base=16, num_hidden_layers=3)
    with torch.no_grad():
        for parameter in model.parameters():  # norms other than one
            parameter.add_(torch.randn(parameter.shape) * 0.05)
        ours = model.logits(some_tokens())
    assert torch.allclose(ours.double(), plain_forward(model, some_tokens()), atol=2e-5)


def test_losses_are_the_cross_entropy_of_the_logits(make_model: Make) -> None:
    model, tokens = make_model(), some_tokens()
    targets = tokens.roll(-1, 1)
    targets[0, :5] = IGNORED
    (losses,) = model(tokens, targets)
    probability = model.logits(tokens).softmax(-1)
    by_hand = -probability.gather(2, targets.clamp(min=0)[..., None]).squeeze(2).log()
    assert torch.allclose(losses, torch.where(targets == IGNORED, 0.0, by_hand), atol=1e-5)


def test_a_token_sees_none_after_it(make_model: Make) -> None:
    model, tokens = make_model(), some_tokens()
    changed = tokens.clone()
    changed[:, 30:] = 7
    before, after = model.logits(tokens), model.logits(changed)
    assert torch.equal(before[:, :30], after[:, :30])
    assert not torch.allclose(before[:, 30:], after[:, 30:])


def test_a_document_sees_no_other(make_model: Make) -> None:
    model, tokens = make_model(), some_tokens(1, 48)
    targets = tokens.roll(-1, 1)
    documents = torch.tensor([[0] * 20 + [1] * 28])
    (packed,) = model(tokens, targets, documents)
    (first,) = model(tokens[:, :20], targets[:, :20])
    (second,) = model(tokens[:, 20:], targets[:, 20:])  # RoPE is relative: positions may differ
    assert torch.allclose(packed, torch.cat([first, second], 1), atol=1e-5)


def test_recomputed_activations_give_the_same_gradients(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ultraclean.train.model.HEAD_TOKENS", 40)
    gradients = []
    for recompute in (False, True):
        model = make_model(mtp=True)
        model.recompute = recompute
        losses = model(some_tokens(), some_tokens(seed=1))
        (losses[0].mean() + losses[1].mean()).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert one is not None and two is not None and torch.allclose(one, two, atol=1e-7)


def test_the_second_head_has_the_target_after_the_next() -> None:
    targets = torch.tensor([[1, 2, 3, 4, 5, 6]])
    documents = torch.tensor([[0, 0, 0, 1, 1, 1]])
    assert after_next(targets, None).tolist() == [[2, 3, 4, 5, 6, IGNORED]]
    # Token 2 is the last of its document: there is no next one to start from.
    assert after_next(targets, documents).tolist() == [[2, 3, IGNORED, 5, 6, IGNORED]]


def test_the_second_head_leaves_the_first_as_it_is_and_learns(make_model: Make) -> None:
    tokens = some_tokens(4, 32)
    plain, model = make_model(), make_model(mtp=True)
    assert torch.equal(plain(tokens, tokens)[0], model(tokens, tokens)[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    targets = tokens.roll(-1, 1)
    first = float(model(tokens, targets)[1].mean().detach())
    for _ in range(30):
        loss = model(tokens, targets)[1].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7 * first


def test_activations_keep_their_size_over_widths() -> None:
    """The coordinate check of muP: hidden states and logits after some steps, 1x to 8x the width."""
    from ultraclean.train import Mix, Stage, TrainSpec
    from ultraclean.train.optim import make_optimizer

    sizes = {}
    for width in (32, 64, 128, 256):
        config = ModelConfig.preset(
            "tiny", vocab_size=64, hidden_size=width, intermediate_size=2 * width, dim_model_base=32,
            num_attention_heads=width // 16, num_key_value_heads=width // 32,
        )  # fmt: skip
        model = MiniCPM4(config)
        initialise(model, 0)
        stages = (Stage(name="s", tokens=1, mix={"x": Mix(path="x")}),)
        optimizer = make_optimizer(model, TrainSpec(model=config, out="x", length=8, stages=stages))
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * group["scale"]
        tokens = some_tokens(8, 32) % 64
        before = model.logits(tokens).detach()
        for _ in range(4):
            loss = model(tokens, tokens.roll(-1, 1))[0].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        sizes[width] = float((model.logits(tokens) - before).detach().std())
    assert max(sizes.values()) / min(sizes.values()) < 2, sizes


def test_new_weights_depend_on_their_name_and_scale_with_width() -> None:
    config = ModelConfig.preset("tiny", hidden_size=256, num_attention_heads=16, dim_model_base=64)
    one, two = MiniCPM4(config), MiniCPM4(config.model_copy(update={"num_hidden_layers": 1}))
    initialise(one, 3)
    initialise(two, 3)
    weights = dict(one.named_parameters())
    for name, parameter in two.named_parameters():
        assert torch.equal(parameter, weights[name])
    for name, parameter in weights.items():
        if is_matrix(name, parameter):
            assert float(parameter.detach().std()) == pytest.approx(0.1 / 2, rel=0.05)
    assert float(weights["model.embed_tokens.weight"].detach().std()) == pytest.approx(
        0.1, rel=0.05
    )


# --- ternary ------------------------------------------------------------------------------------


def test_ternary_weights_have_three_values_per_group() -> None:
    weight = torch.randn(6, 64)
    rounded = ternary(weight, 16).view(6, 4, 16)
    scale = weight.view(6, 4, 16).abs().mean(-1, keepdim=True)
    ratio = rounded / scale
    assert set(ratio.round(decimals=4).flatten().tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.equal(ratio.sign(), torch.where((weight.view(6, 4, 16) / scale).abs() > 0.5, weight.view(6, 4, 16).sign(), 0.0))  # fmt: skip
    assert not ternary(torch.zeros(1, 16), 16).any()


def test_the_gradient_passes_the_rounding() -> None:
    layer = TernaryLinear(32, 8, 16)
    x = torch.randn(5, 32)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert torch.allclose(layer.weight.grad, x.sum(0).expand(8, 32), atol=1e-5)


def test_a_ternary_model_trains(make_model: Make) -> None:
    model, tokens = make_model(ternary_group=16), some_tokens(4, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = model(tokens, tokens.roll(-1, 1))[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_a_ternary_group_must_divide_the_inputs(make_model: Make) -> None:
    with pytest.raises(ValueError, match="ternary_group 24 does not divide 32 inputs"):
        make_model(ternary_group=24)


# --- sparse -------------------------------------------------------------------------------------

SPARSE: dict[str, Any] = {
    "kernel_size": 8, "kernel_stride": 4, "block_size": 16, "window_size": 16, "topk": 2, "dense_len": -1,
}  # fmt: skip


def test_sparse_attention_with_all_blocks_is_dense(make_model: Make) -> None:
    tokens = some_tokens(2, 96)
    dense = make_model()
    sparse = make_model(attention="sparse", sparse_config={**SPARSE, "topk": 64})
    assert torch.allclose(dense.logits(tokens), sparse.logits(tokens), atol=1e-5)


def test_sparse_attention_sees_less_and_still_learns(make_model: Make) -> None:
    tokens = some_tokens(2, 96)
    dense, sparse = make_model(), make_model(attention="sparse", sparse_config=SPARSE)
    ours, theirs = sparse.logits(tokens), dense.logits(tokens)
    assert torch.allclose(ours[:, :32], theirs[:, :32], atol=1e-5)  # window and first block
    assert not torch.allclose(ours[:, 60:], theirs[:, 60:], atol=1e-3)
    sparse(tokens, tokens)[0].mean().backward()
    for name, parameter in sparse.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), name


def test_sparse_attention_keeps_documents_apart(make_model: Make) -> None:
    model, tokens = make_model(attention="sparse", sparse_config=SPARSE), some_tokens(1, 96)
    documents = torch.tensor([[0] * 40 + [1] * 56])
    (packed,) = model(tokens, tokens, documents)
    (first,) = model(tokens[:, :40], tokens[:, :40])
    (second,) = model(tokens[:, 40:], tokens[:, 40:])
    assert torch.allclose(packed, torch.cat([first, second], 1), atol=1e-4)


def test_sparse_attention_below_dense_len_is_dense(make_model: Make) -> None:
    tokens = some_tokens(1, 96)
    sparse = make_model(attention="sparse", sparse_config={**SPARSE, "dense_len": 97})
    assert torch.equal(make_model().logits(tokens), sparse.logits(tokens))
