"""The words of the graded world: a few hundred everyday ones.

All splits use the same words; `cast` says which of their combinations belong to which split. All
countable nouns here take a plain *s*, no word starts with a vowel letter sounded as a consonant (or
the reverse), and no name ends in *s*: grammar stays a matter of plain rules.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIRLS = _words("""
Anna Mia Lily Rosa Eva Clara Lucy Molly Ruth Emma Sara Nina Jane Kate Polly Alice Dora Helen Nora
Ella Martha Laura Ada Mary
""")
BOYS = _words("""
Tom Ben Sam Jack Max Paul Peter Hugo Fred Leo Adam Simon Ralph Dan Oscar Henry Luke Robert Jacob
Noah Finn Carl Felix Otto
""")
FAMILIES = _words("""
Hill Brook Field Wood Lake Moor Ford Lane Marsh Forest Meadow Dale Grove Heath Shore Pond Bridge
West Swan Fox Wolf Lamb Crane Finch
""")

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "pink")
THINGS = (
    *("ball", "book", "cup", "hat", "key", "kite", "lamp", "drum", "bell", "doll"),
    *("spoon", "coat", "flute", "map", "rope", "clock", "ring", "shell", "stone", "flag"),
)
CONTAINERS = ("box", "basket", "bag", "chest", "sack", "case", "bucket", "crate")
ADJECTIVES = ("old", "new", "big", "little", "quiet", "pretty", "cold", "bright")
PLACES = (
    *("mill", "barn", "shop", "school", "garden", "park", "kitchen", "hall"),
    *("tower", "stable", "bakery", "library", "hut", "tent", "castle", "station"),
)

KIN = {
    "girl": ("mother", "sister", "aunt", "grandmother"),
    "boy": ("father", "brother", "uncle", "grandfather"),
}
FOODS = ("apple", "pear", "plum", "nut", "bun", "carrot", "egg", "cake")
ANIMALS = ("goat", "hen", "duck", "pig", "horse", "cow", "cat", "dog", "bird", "rabbit")
JOBS = ("baker", "farmer", "teacher", "doctor", "painter", "sailor", "tailor", "gardener")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = _words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
""")

# What may be told of anyone alike, by relation.
VALUE_WORDS = {
    "aged": NUMBERS[3:15],
    "likes": tuple(f"{food}s" for food in FOODS),
    "came_on": DAYS,
    "feeds": ANIMALS,
    "works": JOBS,
}

SOUNDS = (
    *(("dog", "barked"), ("duck", "quacked"), ("cow", "mooed"), ("pig", "grunted")),
    *(("hen", "clucked"), ("cat", "purred"), ("horse", "neighed"), ("mouse", "squeaked")),
    *(("bee", "buzzed"), ("lion", "roared")),
)
# (need, what one does about it, with what); no answer to one need serves another.
NEEDS = (
    ("was hungry", "ate the", FOODS),
    ("was thirsty", "drank the", ("milk", "water", "juice", "tea")),
    ("was very tired", "lay down on the", ("bed", "sofa", "straw")),
    ("wanted to write a letter", "looked for the", ("pen", "pencil", "paper")),
    ("wanted to cut the rope", "looked for the", ("knife", "scissors")),
    ("wanted to dig a hole", "looked for the", ("shovel", "spade")),
    ("wanted to hear some music", "listened to the", ("flute", "drum", "piano")),
    ("was afraid of the dark", "lit the", ("lamp", "candle")),
    ("had dirty hands", "asked for some", ("soap",)),
    ("felt the rain", "opened the", ("umbrella",)),
)
OPPOSITES = (
    *(("cup", "full", "empty"), ("door", "open", "shut"), ("soup", "hot", "cold")),
    *(("coat", "wet", "dry"), ("window", "clean", "dirty"), ("bag", "heavy", "light")),
    *(("road", "long", "short"), ("lesson", "easy", "hard"), ("horse", "fast", "slow")),
    *(("baby", "awake", "asleep"), ("wall", "high", "low"), ("bread", "fresh", "stale")),
)
# base, third person, past: the three forms all differ.
VERBS = (
    *(("walk", "walks", "walked"), ("sing", "sings", "sang"), ("run", "runs", "ran")),
    *(("swim", "swims", "swam"), ("draw", "draws", "drew"), ("write", "writes", "wrote")),
    *(("sleep", "sleeps", "slept"), ("dance", "dances", "danced"), ("jump", "jumps", "jumped")),
    *(("cook", "cooks", "cooked"), ("paint", "paints", "painted"), ("play", "plays", "played")),
    *(("laugh", "laughs", "laughed"), ("ride", "rides", "rode"), ("dream", "dreams", "dreamed")),
)
# What happened to someone, and how that feels; "{his}" is filled in.
MOODS = (
    *(("got a present", "glad"), ("lost {his} money", "sad"), ("ran all day", "tired")),
    *(("had no lunch", "hungry"), ("heard a lion roar", "afraid"), ("drank nothing", "thirsty")),
    *(("stood in the snow", "cold"), ("won the race", "proud")),
)
OPENINGS = (
    *("It is morning.", "It is a sunny day.", "The birds sing.", "It is nearly noon."),
    *("It is a rainy day.", "The day is warm.", "Spring has come.", "It is late."),
)
