"""The graded world: six levels of small tasks with known answers, made on the spot from a seed.

words.py          the word lists; nothing else knows a word by heart
cast.py           who and what there is, a disjoint cast for every split
world.py          one item's world: its random draws, its cast, its way of saying things
sentences.py      level a   simple sentences
continuations.py  level b   which sentence follows
cloze.py          level c   the missing word
questions.py      level d   questions on one stated fact
chains.py         level e   questions over two to four facts
arithmetic.py     level f   counting and comparing in several steps
planning.py       level f   moving things about, planning with constraints
generate.py       items, documents and evaluation tasks out of all of the above
"""
