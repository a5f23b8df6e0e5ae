"""Makes a model's folder without weights: `python model.py FOLDER`, with the `tokenizers` of Dynamo's environment.

The mock engine emits token ids 1000 to 1999, so the vocabulary has an entry for each; a token that decodes to nothing
is no piece of an answer.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

VOCABULARY = 2048
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"
)


def main(folder: Path) -> None:
    """Write its four files."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "</s>", *alphabet]
    words += [f"Ġt{number}" for number in range(len(words), VOCABULARY)]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, **ends}
    config |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
    config |= {"intermediate_size": 128, "max_position_embeddings": 8192, "torch_dtype": "float16"}
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE}
    tokens |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192}
    for name, value in (("config", config), ("tokenizer_config", tokens), ("generation_config", ends)):
        (folder / f"{name}.json").write_text(json.dumps(value))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
