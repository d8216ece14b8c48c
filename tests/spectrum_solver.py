"""Reads a graded-world text back into facts and answers it: knows English, not the generator."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import permutations, product

from gradatim.corpus.spectrum.generate import Item

N = r"((?!(?:Who|What|He|She|It|In|That|They|There|Now|So|The|On|At)\b)[A-Z][a-z]+)"
P = r"([a-z]+ [a-z]+)"
W = r"([a-z]+)"
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DAY = f"({'|'.join(DAYS)})"
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
]
FEELINGS = {
    "got a present": "glad",
    "lost his money": "sad",
    "lost her money": "sad",
    "ran all day": "tired",
    "had no lunch": "hungry",
    "heard a lion roar": "afraid",
    "drank nothing": "thirsty",
    "stood in the snow": "cold",
    "won the race": "proud",
}

# sentence -> (relation, which group is the subject, which the value)
SENTENCES = [
    (f"{N} (?:has|holds|carries) the {P}", "has", 1, 2),
    (f"The {P} is in the hands of {N}", "has", 2, 1),
    (f"{N} (?:is|sits|waits) in the {P}", "in", 1, 2),
    (f"In the {P} you can see {N}", "in", 2, 1),
    (f"The {P} (?:is|lies|stands) in the {P}", "in", 1, 2),
    (f"(?:Inside|In) the {P} (?:lies|stands) the {P}", "in", 2, 1),
    (f"{N} came on {DAY}", "came", 1, 2),
    (f"It was {DAY} when {N} came", "came", 2, 1),
    (f"It was on {DAY} that {N} came", "came", 2, 1),
    (f"{N} came before {N}", "before", 1, 2),
    (f"{N} came after {N}", "before", 2, 1),
    (f"{N} was there when {N} came", "before", 1, 2),
    (f"{N} (?:likes|is fond of) {W}", "likes", 1, 2),
    (f"It is {W} that {N} likes", "likes", 2, 1),
    (f"{N} is (?:now )?{W} years old", "aged", 1, 2),
    (f"The age of {N} is {W}", "aged", 1, 2),
    (f"{N} (?:feeds|gives food to) the {W}", "feeds", 1, 2),
    (f"The {W} gets its food from {N}", "feeds", 2, 1),
    (f"{N} is the {W}", "works", 1, 2),
    (f"The {W} is {N}", "works", 2, 1),
    (f"{N} wants the {P}", "wants", 1, 2),
    (
        f"(On {DAY}|In the morning|At noon|In the evening|At night) {N} was in the {P}",
        "visited",
        3,
        4,
    ),
    (f"{N} [A-Z][a-z]+ (?:was in|came to|went to) the {P}", "visited", 1, 2),
    (f"{N} ({'|'.join(FEELINGS)})", "felt", 1, 2),
]
KIN = [
    (f"{N} is the {W} of {N}", 3, 2, 1),
    (f"{N}'s {W} is {N}", 1, 2, 3),
    (f"The {W} of {N} is {N}", 2, 1, 3),
    (f"{N} can call {N} (?:his|her) {W}", 1, 3, 2),
]
COMPILED = [(re.compile(pattern), *rest) for pattern, *rest in SENTENCES]
COMPILED_KIN = [(re.compile(pattern), *rest) for pattern, *rest in KIN]

Facts = list[tuple[str, str, str]]


def sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[.?]", text) if part.strip()]


def facts(text: str) -> Facts:
    """(relation, subject, value) of every sentence that states one; kin relations by their word."""
    found = []
    for sentence in sentences(text):
        for pattern, subject, kin, value in COMPILED_KIN:
            if match := pattern.fullmatch(sentence):
                found.append((match[kin], match[subject], match[value]))
        for pattern, relation, subject, value in COMPILED:
            if match := pattern.fullmatch(sentence):
                found.append((relation, match[subject], match[value]))
    return found


def only(values: list[str]) -> str:
    assert len(set(values)) == 1, f"not one answer: {values}"
    return values[0]


def value_of(known: Facts, relation: str, subject: str) -> str:
    return only([v for r, s, v in known if r == relation and s == subject])


def subject_of(known: Facts, relation: str, value: str) -> str:
    return only([s for r, s, v in known if r == relation and v == value])


def place_of(known: Facts, entity: str) -> str:
    """Where it is in the end: followed through holders and containers."""
    holders = [s for r, s, v in known if r == "has" and v == entity]
    inside = [v for r, s, v in known if r == "in" and s == entity]
    if holders:
        return place_of(known, only(holders))
    return place_of(known, only(inside)) if inside else entity


def holder_of(known: Facts, thing: str) -> str:
    """Who has it, or what it is in."""
    inside = [v for r, s, v in known if r == "in" and s == thing]
    return holder_of(known, only(inside)) if inside else subject_of(known, "has", thing)


def entity(known: Facts, phrase: str) -> str:
    """The person or thing that a question speaks of."""
    if match := re.fullmatch(r"the one who has (.+)", phrase):
        return holder_of(known, entity(known, match[1]))
    if match := re.fullmatch(r"the ([a-z]+) of (.+)", phrase):
        return value_of(known, match[1], entity(known, match[2]))
    return phrase.removeprefix("the ")


def came_in_order(known: Facts) -> list[str]:
    pairs = [(s, v) for r, s, v in known if r == "before"]
    people = sorted({name for pair in pairs for name in pair})
    (order,) = (
        order
        for order in permutations(people)
        if all(order.index(one) < order.index(other) for one, other in pairs)
    )
    return list(order)


QUESTIONS: list[tuple[str, Callable[[Facts, str], str]]] = [
    (r"Where is (.+)\? (?:\w+ is in the|In the)", lambda k, q: place_of(k, entity(k, q))),
    (r"What does (.+) have\?.*", lambda k, q: value_of(k, "has", entity(k, q))),
    (r"When did (.+) come\?.*", lambda k, q: value_of(k, "came", entity(k, q))),
    (r"How old is (.+)\?.*", lambda k, q: value_of(k, "aged", q)),
    (r"What does (.+) like\?.*", lambda k, q: value_of(k, "likes", q)),
    (r"What does (.+) feed\?.*", lambda k, q: value_of(k, "feeds", q)),
    (r"What is (.+)\?.*", lambda k, q: value_of(k, "works", q)),
    (r"Who is in the (.+)\?.*", lambda k, q: subject_of(k, "in", q)),
    (r"Who has the (.+)\?.*", lambda k, q: subject_of(k, "has", q)),
    (r"Who likes (.+)\?.*", lambda k, q: subject_of(k, "likes", q)),
    (r"Who came on (.+)\?.*", lambda k, q: subject_of(k, "came", q)),
    (
        r"Who came (first|second|third|last)\?.*",
        lambda k, q: came_in_order(k)[
            ["first", "second", "third", "last"].index(q) if q != "last" else -1
        ],
    ),
]


def answer_question(prompt: str) -> str:
    """Levels d and e."""
    question = re.search(r"(?:^|(?<=\. ))(?:Wh\w+|How) [^.]*$", prompt)
    assert question, prompt
    known = facts(prompt[: question.start()])
    for pattern, answer in QUESTIONS:
        if match := re.fullmatch(pattern, question[0]):
            return answer(known, match[1])
    raise AssertionError(f"no such question: {question[0]}")


def answer_cloze(prompt: str) -> str:
    known = facts(prompt)
    (gap,) = (sentence for sentence in sentences(prompt) if "___" in sentence)
    if match := re.search(rf"{N} thanks (?:him|her) for the", gap):
        giver = re.search(rf"Then {N} gives (?:his|her) thing to {match[1]}", prompt)
        assert giver
        return value_of(known, "has", giver[1]).split()[1]
    if match := re.fullmatch(rf"The {P} is dear to ___|___ .* the {P}", gap):
        return subject_of(known, "has", match[1] or match[2])
    if match := re.fullmatch(rf"The thing that {N} has is ___", gap):
        return value_of(known, "has", match[1]).split()[0]
    name = gap.split()[0]
    (value,) = (v for _, s, v in known if s == name)
    return value.split()[-1]


TIMES = ["In the morning", "At noon", "In the evening", "At night"]


def follows(prompt: str, candidate: str) -> bool:
    """Level b: whether the candidate is true to the story."""
    known = facts(prompt)
    if match := re.fullmatch(rf"So (?:he|she) goes from the {P} to the {P}", candidate):
        wish = re.search(rf"{N} wants to see {N}", prompt)
        assert wish
        return [match[1], match[2]] == [value_of(known, "in", name) for name in wish.groups()]
    if candidate.startswith(("So he went", "So she went")):
        times = TIMES if "In the morning" in prompt else DAYS
        told = re.findall(rf"({'|'.join(times)}) {N} was in the {P}", prompt)
        visits = sorted((times.index(time), place) for time, _, place in told)
        return re.findall(rf"the {P}", candidate) == [place for _, place in visits]
    if match := re.fullmatch(rf"So {N} gives the {P} to {N}", candidate):
        return ("has", match[1], match[2]) in known and ("wants", match[3], match[2]) in known
    if swap := re.search(rf"{N} and {N} swap", prompt):
        other = {swap[1]: swap[2], swap[2]: swap[1]}
        known = [(r, other.get(s, s), v) for r, s, v in known]
    claims = re.findall(rf"{N} (?:puts down the|has the|was) {W}", candidate)
    assert len(claims) >= 3, candidate
    return all(
        value_of(known, "has", name).split()[1] == value
        if "was" not in candidate
        else FEELINGS[value_of(known, "felt", name)] == value
        for name, value in claims
    )


def amount(text: str) -> int:
    (word,) = (word for word in re.findall(r"[a-z]+", text) if word in NUMBERS)
    return NUMBERS.index(word)


def count(prompt: str) -> str:
    first, *acts = sentences(prompt)[:-2]
    total = amount(first)
    for act in acts:
        lost = re.search(r"eats|loses|flew away| gives \w+ \w+ to [A-Z]", act)
        total += -amount(act) if lost else amount(act)
        assert total >= 0, prompt
    return NUMBERS[total]


def compare(prompt: str) -> str:
    has = {}
    links = {}
    for sentence in sentences(prompt)[:-2]:
        if match := re.fullmatch(rf"{N} has {W} (more|fewer) than {N}", sentence):
            sign = 1 if match[3] == "more" else -1
            links[match[1]] = (match[4], sign * NUMBERS.index(match[2]))
        elif " has " in sentence:
            has[sentence.split()[0]] = amount(sentence)
    name = re.search(rf"does {N} have", prompt)[1]
    total = 0
    while name in links:
        name, step = links[name]
        total += step
    return NUMBERS[has[name] + total]


def swap(prompt: str) -> str:
    held = {s: v.split()[1] for r, s, v in facts(prompt) if r == "has"}
    for one, other in re.findall(rf"{N} and {N} swap\.", prompt):
        held[one], held[other] = held[other], held[one]
    return held[re.search(rf"does {N} have now", prompt)[1]]


def move(prompt: str) -> str:
    where = {s.split()[1]: v for r, s, v in facts(prompt) if r == "in"}
    for noun, into in re.findall(rf"puts the {W} into the {P}\.", prompt):
        assert where[noun] != into, prompt
        where[noun] = into
    return where[re.search(rf"Where is the {W} now", prompt)[1]]


def ring(prompt: str) -> str:
    held = {s: v.split()[1] for r, s, v in facts(prompt) if r == "has"}
    seats = re.findall(N, re.search(r"\. ([^.]*) sit in a ring", prompt)[1])
    turns = {"once": 1, "twice": 2, "three times": 3}[
        re.search(r"next one, ([a-z ]+)\.", prompt)[1]
    ]
    for _ in range(turns):
        held = {name: held[seats[index - 1]] for index, name in enumerate(seats)}
    return held[re.search(rf"does {N} have now", prompt)[1]]


def visits(prompt: str) -> str:
    intro = re.match(r"(.*?) come on (.*?), one on each day", prompt)
    people, days = re.findall(rf"{N} [A-Z][a-z]+", intro[1]), re.findall(DAY, intro[2])
    barred = re.findall(rf"{N} cannot come on {DAY}", prompt)
    before = re.findall(rf"{N} must come before {N}", prompt)
    plans = []
    for choice in product(range(len(days)), repeat=len(people)):
        day = dict(zip(people, choice, strict=True))
        if (
            len(set(choice)) == len(people)
            and all(days[day[name]] != bar for name, bar in barred)
            and all(day[one] < day[other] for one, other in before)
        ):
            plans.append(day)
    (plan,) = plans
    return days[plan[re.search(rf"does {N} come\?", prompt)[1]]]


PROBLEMS = {
    "count": count,
    "birds": count,
    "compare": compare,
    "swap": swap,
    "move": move,
    "ring": ring,
    "visits": visits,
}


def solve(item: Item) -> str:
    """The answer of an item of levels b to f, from its text alone."""
    if item.level == "b":
        return only([choice for choice in item.choices if follows(item.prompt, choice)])
    if item.level == "c":
        return answer_cloze(item.prompt)
    if item.level == "f":
        return PROBLEMS[item.template](item.prompt)
    return answer_question(item.prompt)
