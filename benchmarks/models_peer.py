"""The peer's side of `models.py`: transformers, eager, and peft. Runs alone for start-up times."""

import pathlib
import sys
from collections.abc import Callable

import torch
import transformers
from model_folders import draw_prompts, draw_rows, NEW_TOKENS, PRODUCT, STREAM

torch.set_num_threads(1)


def load(folder: pathlib.Path) -> torch.nn.Module:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa")


def make_lora(folder: pathlib.Path, rank: int = 8) -> Callable:
    """Returns a call that makes one step and returns the loss."""
    import peft

    config = peft.LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, bias="none", target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    model = peft.get_peft_model(load(folder), config).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    tokens_BL = torch.tensor(draw_rows(model.config.vocab_size))

    def step() -> float:
        loss = model(input_ids=tokens_BL, labels=tokens_BL, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def make_codelength(folder: pathlib.Path) -> Callable:
    """Returns a call that returns the nats of each token but the first of its row, [BATCH * (LENGTH - 1)]."""
    model = load(folder).eval()
    tokens_BL = torch.tensor(draw_rows(model.config.vocab_size))

    @torch.inference_mode()
    def nats():
        logits_BLV = model(input_ids=tokens_BL, use_cache=False).logits[:, :-1]
        return torch.nn.functional.cross_entropy(
            logits_BLV.flatten(0, 1), tokens_BL[:, 1:].flatten(), reduction="none").numpy()

    return nats


def make_generate(folder: pathlib.Path) -> Callable:
    """Returns a call that returns the new tokens of each prompt; nothing ends a row."""
    model = load(folder).eval()
    model.generation_config.eos_token_id = None
    rows = [[model.config.bos_token_id, *prompt] for prompt in draw_prompts(model.config.vocab_size)]
    longest = max(map(len, rows))
    padded_BL = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    attention_BL = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])

    @torch.inference_mode()
    def tokens() -> list[list[int]]:
        return model.generate(
            padded_BL, attention_mask=attention_BL, do_sample=False, max_new_tokens=NEW_TOKENS,
            pad_token_id=0)[:, longest:].tolist()

    return tokens


def make_sgemm() -> Callable:
    """Returns a call that makes the product of the shape PRODUCT."""
    x, kernel = torch.ones(PRODUCT[:2]), torch.ones(PRODUCT[1:])
    return lambda: (x @ kernel)[0, 0].item()


def make_stream() -> Callable:
    """Returns a call that reads STREAM floats."""
    ones = torch.ones(STREAM)
    return lambda: ones.sum().item()


if __name__ == "__main__":
    globals()[f"make_{sys.argv[1]}"](pathlib.Path(sys.argv[2]))()
