"""The reference's hand-written contexts: what its `urial` puts before a question, to the letter."""

import re

GSM8K = """\
# System
You are a helpful, respectful and honest assistant.

# Instruction
Solve the following math problem step by step. Show your reasoning clearly.

Question: Sue works in a factory and every 30 minutes, a machine she oversees produces 30 cans of soda. \
How many cans of soda can x machine produce in 8 hours? If we know the answer to the above question is 480, \
what is the value of unknown variable x?

Response: We know that every 30 minutes, a machine produces 30 cans of soda.
Since there are 60 minutes in an hour, and 8 hours in total, the total number of minutes is 60 * 8 = 480 \
minutes.
If a machine produces 30 cans of soda every 30 minutes, then in 480 minutes, it will produce (480/30) * 30 = \
480 cans of soda.
We are given that the total number of cans of soda produced is 480, so we can write: 480 = 480 * x.
Dividing both sides by 480, we get: x = 1.
The value of x is 1.
#### 1
The answer is: 1

Question: Maximoff's monthly bill is $60 per month. His monthly bill increased by thirty percent when he \
started working at home. How much is his total monthly bill working from home?

Response: Maximoff's monthly bill increased by 30% when he started working from home, so his bill increased \
by 30/100 * $60 = $18
His new monthly bill working from home is $60 + $18 = $78
#### 78
The answer is: 78

"""

FLORES = """\
# System
You are a helpful assistant.

# Instruction
Translate from english to french.

English: They also reduce appetite (66).

French: Ils réduisent également l'appétit (66).

English: For Bauman, modern humans need strong commitments.

French: Pour Bauman, les humains modernes ont besoin d’engagements forts.
"""

IFEVAL = """\
<|im_start|>system
You are a helpful, respectful and honest assistant. You carefully follow instructions to every detail \
possible.

<|im_start|>user
Describe the purpose of internet protocol version 6 (IPv6).

Your entire response should be in English, and in all lowercase letters. No capital letters are allowed.
<|im_start|>assistant
ipv6 is designed to replace ipv4 as the internet’s addressing system. it provides a much larger pool of \
unique addresses to accommodate the growing number of devices connected to the internet. additionally, ipv6 \
improves efficiency by reducing the size of header fields and enabling simpler routing. it also includes \
features like built-in security extensions and autoconfiguration to simplify network administration.
<|im_start|>user
Your entire response should be in English, capital letters only. Which country has the largest population in \
the world?
<|im_start|>assistant
CHINA
"""

ESNLI = """\
<|im_start|>system
You are a helpful, respectful and honest assistant. Given a premise and a hypothesis, explain your reasoning \
and then classify the relationship as entailment, neutral, or contradiction.

<|im_start|>user
Premise: A person on a horse jumps over a broken down airplane.
Hypothesis: A person is outdoors, on a horse.
Does the premise entail, contradict, or is neutral to the hypothesis? Explain your reasoning, then answer.
<|im_start|>assistant
A broken down airplane is outdoors, and the person is on a horse jumping over it. Therefore, the answer is \
entailment.
<|im_start|>user
Premise: Children smiling and waving at camera
Hypothesis: The kids are frowning
Does the premise entail, contradict, or is neutral to the hypothesis? Explain your reasoning, then answer.
<|im_start|>assistant
One cannot be smiling and frowning at the same time. Therefore, the answer is contradiction.
"""


def without_turns(text: str) -> str:
    """Returns a context of chat turns as plain text: each answer follows its question."""
    text = text.removeprefix("<|im_start|>system\n").replace("\n<|im_start|>assistant\n", " ")
    return re.sub(r"\n+<\|im_start\|>user\n", "\n\n", text) + "\n"
