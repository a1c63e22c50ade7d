"""The nano world: word problems, pre-training corpus and tokenizer for the tiny model."""
