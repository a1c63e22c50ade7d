"""The nano world: its problems, sentences and briefs, the corpora made of them, and a tokenizer."""
