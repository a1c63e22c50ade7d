"""What counts bits: the entropy coder and the program file. Knows no model and no task.

A program file is one stream of *symbols*. A symbol is an interval [start, start + freq) of
the integers below 2**30 (`intervals.TOTAL_BITS`) and costs -log2(freq / 2**30) bits. Where
the intervals come from - a universal code for integers, a fitted prior of an array, the
logits of a language model - is what the modules of this package differ by; `arithmetic`
turns intervals into bytes and back, in integers only, and `file` keeps the ledger of which
field every bit belongs to.
"""

MAX_FILE_BYTES = 1 << 30
"""A larger file is no program; it is refused before it is read."""
