"""The counts that the kernel makes of a text, by name and by place.

A *part* of a word is what hyphens and inner points leave: `well-known` is one word of two parts.
Frequency, familiarity and diversity are properties of parts without digits; *common* parts are
those that are no names.
"""

from __future__ import annotations

COUNT_NAMES = (
    # the text
    "num_bytes",
    "num_characters",  # code points of its plain form (`gradatim.difficulty.plain`)
    "num_spaces",  # blank ones, line ends included
    "num_lines",  # that hold a word
    "num_paragraphs",  # parted by blank lines
    # words and sentences
    "num_letters",
    "num_words",
    "num_sentences",
    "num_marked_sentences",  # ended by a mark, not by a blank line or the end of the text
    "num_syllables",
    "num_monosyllables",
    "num_polysyllables",  # words of 3 and more syllables
    "num_complex_words",  # those that are no names and not joined by hyphens
    "num_long_words",  # of more than 6 letters
    "num_names",  # with a capital that no sentence or quotation asks for
    "num_numbers",  # words with a digit
    "sum_squared_word_letters",
    "sum_squared_sentence_words",
    "max_sentence_words",
    # parts of words
    "num_parts",
    "num_distinct_parts",
    "num_common_parts",
    "num_unlisted_parts",  # common ones without a frequency
    "num_function_words",
    "num_personal_pronouns",
    "num_unfamiliar_words",  # words with an unfamiliar part
    "num_unfamiliar_names",  # of these, names
    "num_distinct_unfamiliar",  # parts that a reader of the first grades does not know, each once
    "sum_zipf_centi",  # over common parts, in hundredths of the Zipf scale
    "sum_squared_zipf_centi",
    "sum_name_zipf_centi",  # over names
    "sum_distinct_zipf_centi",  # over distinct parts
    "num_below_zipf_3",  # common parts
    "num_below_zipf_4",
    "num_below_zipf_5",
    "sum_age_tenths",  # over common parts, in tenths of a year
    "zipf_p5_centi",  # low percentiles over common parts
    "zipf_p10_centi",
    "zipf_p25_centi",
    "zipf_p50_centi",
    # signs
    "num_stops",  # outside words, as all that follow
    "num_questions",
    "num_exclamations",
    "num_commas",
    "num_semicolons",
    "num_colons",
    "num_quotes",
    "num_brackets",
    "num_dashes",
    "num_ellipses",
    "num_symbols",
    "num_hyphens",  # within words, as the next two
    "num_apostrophes",
    "num_digits",
    "num_capitals",  # words that begin with one
    "num_foreign_letters",  # outside the Latin alphabet
)
"""Whole numbers; the kernel's array has these columns in this order."""

MEASURE_NAMES = ("mtld", "mattr")
"""Real numbers that are no function of the counts; NaN within the kernel where there is none."""

(
    BYTES, CHARACTERS, SPACES, LINES, PARAGRAPHS,
    LETTERS, WORDS, SENTENCES, MARKED, SYLLABLES, MONOSYLLABLES, POLYSYLLABLES, COMPLEX, LONG,
    NAMES, NUMBERS, SQUARED_LETTERS, SQUARED_WORDS, MAX_WORDS,
    PARTS, DISTINCT, COMMON, UNLISTED, FUNCTION_WORDS, PERSONAL_PRONOUNS, UNFAMILIAR,
    UNFAMILIAR_NAMES, DISTINCT_UNFAMILIAR, ZIPF, SQUARED_ZIPF, NAME_ZIPF, DISTINCT_ZIPF,
    BELOW_3, BELOW_4, BELOW_5, AGE, ZIPF_P5, ZIPF_P10, ZIPF_P25, ZIPF_P50,
    STOPS, QUESTIONS, EXCLAMATIONS, COMMAS, SEMICOLONS, COLONS, QUOTES, BRACKETS, DASHES,
    ELLIPSES, SYMBOLS, HYPHENS, APOSTROPHES, DIGITS, CAPITALS, FOREIGN,
) = range(len(COUNT_NAMES))  # fmt: skip
