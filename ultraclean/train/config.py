"""What a model is: its widths, its muP scales, and five sizes under their names.

Sources: the released configurations of MiniCPM4-8B and -0.5B; the 31M and 106M models of the
densing-law family (layers and widths published; a group of four query heads per key head gives
their stated sizes); `tiny` is ours, for tests on a CPU. The published configurations also hold
LongRoPE factors, which an import reads; a preset has plain RoPE until `rope_scaling` is given.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LongRope(BaseModel):
    """LongRoPE: one factor per frequency, another set beyond the length trained first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_factor: tuple[float, ...] = Field(description="divides each frequency up to that length")
    long_factor: tuple[float, ...] = Field(description="divides each frequency beyond it")
    original_max_position_embeddings: int = Field(
        ge=1, description="the length at which the long factors take over, in tokens"
    )


class SparseConfig(BaseModel):
    """InfLLM v2: which blocks of keys a query sees. Names and values of the released `sparse_config`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kernel_size: int = Field(default=32, ge=1, description="keys averaged into one compressed key")
    kernel_stride: int = Field(default=16, ge=1, description="keys between two compressed keys")
    init_blocks: int = Field(default=1, ge=0, description="first blocks that every query sees")
    block_size: int = Field(default=64, ge=1, description="keys in one block")
    window_size: int = Field(default=2048, ge=1, description="recent keys that every query sees")
    topk: int = Field(default=64, ge=1, description="blocks chosen, beyond those of the window")
    use_nope: bool = Field(default=False, description="choose by keys without RoPE")
    dense_len: int = Field(
        default=8192, ge=-1, description="sequences shorter than this are dense; -1 is never"
    )


class ModelConfig(BaseModel):
    """A MiniCPM4. Names are those of the released `config.json` where it has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: int = Field(default=73448, ge=2, description="rows of the embedding")
    hidden_size: int = Field(ge=1, description="width of the residual stream")
    intermediate_size: int = Field(ge=1, description="width inside the feed-forward layer")
    num_hidden_layers: int = Field(ge=1, description="number of blocks")
    num_attention_heads: int = Field(ge=1, description="query heads")
    num_key_value_heads: int = Field(ge=1, description="key and value heads, shared by groups")
    head_dim: int | None = Field(
        default=None, ge=2, description="width of a head; by default hidden_size over the heads"
    )
    max_position_embeddings: int = Field(default=32768, ge=1, description="longest sequence")
    rope_theta: float = Field(default=10000.0, gt=0, description="base of the RoPE frequencies")
    rope_scaling: LongRope | None = Field(default=None, description="LongRoPE factors")
    rms_norm_eps: float = Field(default=1e-6, gt=0, description="added to the mean square")
    tie_word_embeddings: bool = Field(default=False, description="one matrix for input and output")
    scale_emb: float = Field(default=12.0, gt=0, description="multiplies the embeddings")
    scale_depth: float = Field(
        default=1.4, gt=0, description="a branch is multiplied by this over sqrt(layers)"
    )
    dim_model_base: int = Field(
        default=256, ge=1, description="the width at which muP scales are one"
    )
    initializer_range: float = Field(
        default=0.1, gt=0, description="standard deviation of new weights at the base width"
    )
    attention: Literal["dense", "sparse"] = Field(
        default="dense", description="all keys, or the blocks that InfLLM v2 selects"
    )
    sparse_config: SparseConfig | None = Field(
        default=None, description="how blocks are selected; `sparse` without it takes the defaults"
    )
    mtp: bool = Field(
        default=False, description="one more block that predicts the token after the next"
    )
    ternary_group: int | None = Field(
        default=None,
        ge=1,
        description="BitCPM: weights of the blocks are -1, 0 or 1 times a scale per this many inputs",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        """`tiny`, or `{preset: tiny, vocab_size: 512}`: a preset with some fields changed."""
        if isinstance(given, str):
            given = {"preset": given}
        if isinstance(given, dict) and "preset" in given:
            rest = {key: value for key, value in given.items() if key != "preset"}
            if given["preset"] not in PRESETS:
                known = ", ".join(PRESETS)
                raise ValueError(f"no preset {given['preset']!r}; there are: {known}")
            given = {**PRESETS[given["preset"]], **rest}
        return given

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                "hidden_size must be a multiple of num_attention_heads, or give head_dim"
            )
        if self.head_width % 2:
            raise ValueError(f"RoPE turns pairs: the head width {self.head_width} must be even")
        if self.attention == "sparse" and self.sparse_config and self.sparse_config.use_nope:
            raise ValueError(
                "sparse_config.use_nope: choosing by keys without RoPE is not trained here"
            )
        if scaling := self.rope_scaling:
            for name in ("short_factor", "long_factor"):
                if (found := len(getattr(scaling, name))) != self.head_width // 2:
                    raise ValueError(
                        f"rope_scaling.{name} has {found} factors; a head of width "
                        f"{self.head_width} needs {self.head_width // 2}"
                    )
        return self

    @classmethod
    def preset(cls, name: str, **changes: Any) -> ModelConfig:
        """One of PRESETS, with some fields changed."""
        return cls.model_validate({"preset": name, **changes})

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def blocks(self) -> SparseConfig | None:
        """How blocks are selected, None where attention is dense."""
        if self.attention == "dense":
            return None
        return self.sparse_config or SparseConfig()

    @property
    def width_ratio(self) -> float:
        """How many times wider than the muP base: divides logits, matrix variances and matrix lr."""
        return self.hidden_size / self.dim_model_base

    @property
    def branch_scale(self) -> float:
        return float(self.scale_depth / self.num_hidden_layers**0.5)

    @property
    def block_weights(self) -> int:
        """Weights in the matrices of all blocks, the additional head included."""
        attention = self.num_attention_heads * 2 + self.num_key_value_heads * 2
        block = self.hidden_size * (self.head_width * attention + 3 * self.intermediate_size)
        extra = block + 2 * self.hidden_size**2 if self.mtp else 0
        return self.num_hidden_layers * block + extra

    def flops_per_token(self, length: int) -> float:
        """Multiplications and additions of training per token: 6 N, plus dense causal attention.

        N counts the matrices that multiply (blocks and output head, twice for `mtp`), not the
        embedding. Attention counts all `length` keys, the convention of PaLM's appendix B;
        recomputed activations are not counted.
        """
        heads = self.num_hidden_layers + self.mtp
        attention = 12 * heads * self.num_attention_heads * self.head_width * length
        head = self.vocab_size * self.hidden_size * (1 + self.mtp)
        return 6.0 * (self.block_weights + head) + attention


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "dim_model_base": 64,
        "tie_word_embeddings": True,
    },
    "30M": {
        "hidden_size": 512,
        "intermediate_size": 1280,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "100M": {
        "hidden_size": 768,
        "intermediate_size": 1920,
        "num_hidden_layers": 18,
        "num_attention_heads": 12,
        "num_key_value_heads": 3,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "0.5B": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 16384,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
    },
}
"""The blocks of these hold 0.09M, 31M, 106M, 0.36B and 7.7B weights; embeddings come on top."""
