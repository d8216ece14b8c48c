"""Published readability formulas, each a pure function of counts.

A formula takes the counts of many texts (`gradatim.difficulty.counts.count_batch`) and gives a
masked float64 column of shape [num_texts], masked where the text has no word (`pyarrow.array`
turns the mask into nulls). There is never a NaN, and nothing is clipped: the formulas were made
for running prose of a hundred words and more, and on lists, code or verse without full stops they
give what they give, a grade of 60 included.

Ranges in the docstrings are those of any text with a word. Where a formula was made for a sample
of 100 words or 30 sentences, the whole text is taken as the sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradatim.difficulty.counts import Counts, FloatColumn, ratio

_BITS_PER_ZIPF = float(np.log2(10.0))


def words_per_sentence(counts: Counts) -> FloatColumn:
    """Mean length of sentences in words, 1 or more."""
    return ratio(counts["num_words"], counts["num_sentences"])


def syllables_per_word(counts: Counts) -> FloatColumn:
    """Mean length of words in syllables, 1 or more."""
    return ratio(counts["num_syllables"], counts["num_words"])


def flesch_reading_ease(counts: Counts) -> FloatColumn:
    """Ease of reading, higher is easier: about 100 for a primer, 30 for scholarly prose.

    206.835 − 1.015 words per sentence − 84.6 syllables per word. R. Flesch, "A new readability
    yardstick", Journal of Applied Psychology 32 (1948). At most 121.22, without a lower end.
    """
    return 206.835 - 1.015 * words_per_sentence(counts) - 84.6 * syllables_per_word(counts)


def flesch_kincaid_grade(counts: Counts) -> FloatColumn:
    """School grade (United States) that a text is written for.

    0.39 words per sentence + 11.8 syllables per word − 15.59. J. P. Kincaid et al., Research
    Branch Report 8-75, Naval Technical Training (1975). At least −3.4, without an upper end.
    """
    return 0.39 * words_per_sentence(counts) + 11.8 * syllables_per_word(counts) - 15.59


def flesch_kincaid_age(counts: Counts) -> FloatColumn:
    """Age in years of a reader of the Flesch–Kincaid grade: the grade plus 5.

    A child in grade 1 is six years old. At least 1.6, without an upper end.
    """
    return flesch_kincaid_grade(counts) + 5.0


def gunning_fog(counts: Counts) -> FloatColumn:
    """School grade: 0.4 (words per sentence + 100 complex words per word).

    Complex words have three syllables or more and are neither names nor joined by hyphens; the
    rule that the endings -es, -ed and -ing do not count is left out. R. Gunning, The Technique of
    Clear Writing (1952). At least 0.4.
    """
    complex_share = ratio(counts["num_complex_words"], counts["num_words"], 100.0)
    return 0.4 * (words_per_sentence(counts) + complex_share)


def smog(counts: Counts) -> FloatColumn:
    """School grade for full comprehension, made for 30 sentences or more.

    3.1291 + 1.0430 √(30 words of three and more syllables per sentence). G. H. McLaughlin, "SMOG
    grading: a new readability formula", Journal of Reading 12 (1969). At least 3.1291.
    """
    return (
        3.1291 + 1.0430 * ratio(counts["num_polysyllables"], counts["num_sentences"], 30.0) ** 0.5
    )


def automated_readability_index(counts: Counts) -> FloatColumn:
    """School grade: 4.71 strokes per word + 0.5 words per sentence − 21.43.

    Strokes are visible characters, signs included. R. J. Senter and E. A. Smith, "Automated
    readability index", AMRL-TR-66-220 (1967). At least −16.22.
    """
    strokes = ratio(counts["num_characters"] - counts["num_spaces"], counts["num_words"])
    return 4.71 * strokes + 0.5 * words_per_sentence(counts) - 21.43


def coleman_liau(counts: Counts) -> FloatColumn:
    """School grade: 0.0588 letters per 100 words − 0.296 sentences per 100 words − 15.8.

    M. Coleman and T. L. Liau, "A computer readability formula designed for machine scoring",
    Journal of Applied Psychology 60 (1975). At least −45.4.
    """
    letters = ratio(counts["num_letters"], counts["num_words"], 100.0)
    sentences = ratio(counts["num_sentences"], counts["num_words"], 100.0)
    return 0.0588 * letters - 0.296 * sentences - 15.8


def linsear_write(counts: Counts) -> FloatColumn:
    """School grade from (words + 2 words of three and more syllables) per sentence.

    Half of that above 20, else half of 2 less. J. O'Hayre, Gobbledygook Has Gotta Go (U.S. Bureau
    of Land Management, 1966), in the form used for technical manuals. At least −0.5.
    """
    points = counts["num_words"] + 2 * counts["num_polysyllables"]
    per_sentence = ratio(points, counts["num_sentences"])
    return per_sentence / 2.0 - 1.0 * (per_sentence <= 20.0)


def new_dale_chall(counts: Counts) -> FloatColumn:
    """Raw score: 4.9 and less for grade 4, 9 and more for college.

    0.1579 unfamiliar words per 100 + 0.0496 words per sentence, and 3.6365 more where over 5 words
    in 100 are unfamiliar. J. S. Chall and E. Dale, Readability Revisited (1995). Their list of
    three thousand words is not free; ours is made from books for children
    (`gradatim.difficulty.fitting.familiar`). Names count as familiar, as they asked. At least 0.05.
    """
    unfamiliar = counts["num_unfamiliar_words"] - counts["num_unfamiliar_names"]
    percent = ratio(unfamiliar, counts["num_words"], 100.0)
    score = 0.1579 * percent + 0.0496 * words_per_sentence(counts)
    return score + 3.6365 * (percent > 5.0)


def lix(counts: Counts) -> FloatColumn:
    """Words per sentence + words of more than six letters per 100: 25 for children, 60 for theses.

    C. H. Björnsson, Läsbarhet (1968). At least 1.
    """
    return words_per_sentence(counts) + ratio(counts["num_long_words"], counts["num_words"], 100.0)


def rix(counts: Counts) -> FloatColumn:
    """Words of more than six letters per sentence: below 0.2 for grade 1, 7.2 and more for college.

    J. Anderson, "Lix and Rix: variations on a little-known readability index", Journal of Reading
    26 (1983). At least 0.
    """
    return ratio(counts["num_long_words"], counts["num_sentences"])


def spache(counts: Counts) -> FloatColumn:
    """School grade, made for grades 1 to 3.

    0.121 words per sentence + 0.082 distinct unfamiliar words per 100 + 0.659. G. D. Spache, Good
    Reading for Poor Readers (revised 1974). The words taken as familiar are the more frequent part
    of our list for `new_dale_chall`. At least 0.78.
    """
    unfamiliar = ratio(counts["num_distinct_unfamiliar"], counts["num_words"], 100.0)
    return 0.121 * words_per_sentence(counts) + 0.082 * unfamiliar + 0.659


def mtld(counts: Counts) -> FloatColumn:
    """Lexical diversity in words (`gradatim.difficulty.diversity.mtld`); noisy below 100 words."""
    return counts.measure("mtld")


def mattr(counts: Counts) -> FloatColumn:
    """Lexical diversity, from 0 to 1 (`gradatim.difficulty.diversity.mattr`); from 50 words on."""
    return counts.measure("mattr")


def word_rarity(counts: Counts) -> FloatColumn:
    """Mean surprise of the words in general English, in bits: −log2 of their frequency.

    Names are left out: a name is rare and says nothing of the reader it asks for. From 4.3 (`the`)
    to 26.6, which stands for a word that `wordfreq` does not list.
    """
    zipf = ratio(counts["sum_zipf_centi"], counts["num_common_parts"], 0.01)
    return (9.0 - zipf) * _BITS_PER_ZIPF


def word_rarity_p90(counts: Counts) -> FloatColumn:
    """Surprise in bits that one word in ten exceeds: the low end of the words' frequencies."""
    return _bits_at(counts, "zipf_p10_centi")


def word_rarity_p95(counts: Counts) -> FloatColumn:
    """Surprise in bits that one word in twenty exceeds."""
    return _bits_at(counts, "zipf_p5_centi")


def _bits_at(counts: Counts, percentile: str) -> FloatColumn:
    zipf = np.ma.MaskedArray(0.01 * counts[percentile], counts["num_common_parts"] == 0)
    return (9.0 - zipf) * _BITS_PER_ZIPF


FORMULAS: dict[str, Callable[[Counts], FloatColumn]] = {
    "flesch_reading_ease": flesch_reading_ease,
    "flesch_kincaid_grade": flesch_kincaid_grade,
    "flesch_kincaid_age": flesch_kincaid_age,
    "gunning_fog": gunning_fog,
    "smog": smog,
    "automated_readability_index": automated_readability_index,
    "coleman_liau": coleman_liau,
    "linsear_write": linsear_write,
    "new_dale_chall": new_dale_chall,
    "lix": lix,
    "rix": rix,
    "spache": spache,
    "mtld": mtld,
    "mattr": mattr,
    "word_rarity": word_rarity,
    "word_rarity_p90": word_rarity_p90,
    "word_rarity_p95": word_rarity_p95,
}
"""Column name → formula."""
