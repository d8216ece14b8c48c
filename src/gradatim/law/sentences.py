"""Every sentence that a comparison can say, as tables, and which of them are claims."""

from __future__ import annotations

from gradatim.law.comparison import Sentence

SENTENCES = {
    "nothing": "There is nothing to compare: only `{baseline}` has finished runs.",
    "resolved": "At equal compute, `{arm}` ended {gap} {way} than `{reference}` ({interval}), "
    "{over}.",
    "unresolved": "With {seeds} at {rungs} this study could not tell `{arm}` from `{reference}`: "
    "the difference at equal compute is {difference} ({interval}, {reason}). It would have seen "
    "{effect} in 4 of 5 cases.",
    "one_seed": "Whether `{arm}` differs from `{reference}` cannot be judged from one seed: the "
    "difference at equal compute is {difference}, and nothing tells how far chance moves it.",
    "same_seeds": "Whether `{arm}` differs from `{reference}` cannot be judged: every seed gave "
    "the same ({difference}), so they are no replicates.",
    "unpaired": "`{arm}` cannot be judged: it shares no seed with `{reference}`.",
    "barely": "It is only just resolved: where effects are small, such estimates are on average "
    "1.3 to 2.4 times the truth.",
    "opposite": "At {rungs} it was the other way round.",
    "ratio": "For the same {loss} it needs {ratio} times the compute of `{reference}` "
    "({interval}), read between finished runs of `{reference}` at {multiples} times the budget.",
    "harm_and_gain": "Not everything moved alike: it is worse on {harms}, and better on {gains} "
    "(corrected for the {count} slices looked at).",
    "harm": "It is worse on {harms} (corrected for the {count} slices looked at).",
    "gain": "It is better on {gains} (corrected for the {count} slices looked at).",
    "fed": "In its last quarter `{arm}` read {shares}.",
    "recency": "Over {kinds}, it gained most where it read most at the end (rank correlation "
    "{correlation}): gain and last reading cannot be told apart.",
    "balanced": "As the plain mean over {kinds}, each counted once, the difference is {difference} "
    "({interval}).",
    "better_beaten": "Its {control} did worse, by {gap} ({interval}), so {idea} has a part in it.",
    "better_superior": "Its {control} did even better, by {gap} ({interval}), so the gain "
    "does not come of {idea}.",
    "worse_beaten": "Its {control} did even worse, by {gap} ({interval}), so {idea} is not "
    "what hurt.",
    "worse_superior": "Its {control} did better than it, by {gap} ({interval}), so {idea} "
    "has a part in the harm.",
    "open": "No difference from its {control} is resolved ({difference}, {interval} before "
    "correction for the other comparisons), so whether {idea} has a part in it stays open.",
    "control_unjudged": "Its {control} cannot be judged.",
    "no_controls": "It was run without controls, so its cause is open.",
    "others": "Other methods against `{baseline}`: {listed}.",
    "noise": "Once what its arm and its seed do is taken out, a run scatters by {sds} {unit} "
    "(standard deviation; {degrees}).",
    "wild": "{arms} scattered more than the other arms (F-test, p < 0.01): compared by the pairs "
    "with it alone.",
    "noise_unknown": "Nothing is known about noise: that takes two arms with at least two seeds in "
    "common.",
    "seen": "In 4 of 5 studies of this size and noise an effect of {effect} {unit} on the mean "
    "over rungs is resolved.",
    "text": "The choice of held-out text makes up {share} of the standard error of `{arm}` minus "
    "`{reference}`.",
    "text_large": "The choice of held-out text makes up {share} of the standard error of `{arm}` "
    "minus `{reference}`: more held-out blocks (`evaluation.num_blocks`) would narrow it.",
    "by_rung": "`{arm}` minus `{reference}` by rung, each by its own interval: {listed}.",
    "described": "`{arm}` minus `{reference}`: {difference} ({interval}), not corrected for the "
    "other comparisons.",
    "slices": "`{arm}` is {verdict} than `{reference}` in {unit} on {listed} (corrected for the "
    "{count} looked at).",
    "order_alone": "{arms} saw the same multiset of blocks at every rung and seed (equal hashes), "
    "and differ in their order alone.",
    "same_blocks": "{arms} saw the same multiset of blocks at every rung and seed (equal hashes), "
    "but differ in more than their order.",
    "other_blocks": "The arms saw different multisets of blocks, not only different orders.",
    "missing": "Missing: {clauses}.",
    "conditions": "{clause}.",
}
"""Every sentence a comparison can say of one schedule of the rate."""

CROSSED = {
    "by_schedule": "`{arm}` against `{reference}` at equal compute: {listed}.",
    "interaction_more": "The difference of `{arm}` from `{reference}` is more in its favour under "
    "`{schedule}` than under `{against}`, by {gap} ({interval}).",
    "interaction_less": "The difference of `{arm}` from `{reference}` is less in its favour under "
    "`{schedule}` than under `{against}`, by {gap} ({interval}).",
    "interaction_open": "Whether the difference of `{arm}` from `{reference}` is another under "
    "`{schedule}` than under `{against}` stays open: it changes by {difference} ({interval}).",
    "interaction_unjudged": "Whether the difference of `{arm}` from `{reference}` is another under "
    "`{schedule}` than under `{against}` cannot be judged.",
}
"""Every sentence it can say of several schedules together."""

TUNED = {
    "tuned_survives": "That `{arm}` is {verdict} than `{reference}` survives when each arm has its "
    "own best rate: by {gap} then ({interval}).",
    "tuned_lost": "That `{arm}` is {verdict} than `{reference}` does not survive when each arm has "
    "its own best rate: the difference is {difference} then ({interval}), and not resolved.",
    "tuned_turned": "That `{arm}` is {verdict} than `{reference}` turns round when each arm has "
    "its own best rate: the difference is {difference} then ({interval}).",
    "tuned_open": "Where each arm has its own best rate, `{arm}` minus `{reference}`, not resolved "
    "at the study's, is {difference} ({interval}).",
    "tuned_unjudged": "How `{arm}` stands to `{reference}` when each arm has its own best rate "
    "cannot be judged.",
    "tuned_shared": "The study's own rate was the best that was tried for {arms}, so all is "
    "compared where each arm has its own best rate.",
    "tuned_edge": "The best {setting} of {listed} is the least or the greatest that was tried: the "
    "search may have stopped short of it.",
}
"""Every sentence it can say of arms under settings of their own."""

CLAIMS = frozenset(
    {"resolved", "better_beaten", "better_superior", "worse_beaten", "worse_superior", "ratio"}
    | {"interaction_more", "interaction_less"}
)
"""Those that say there is a difference; together they are wrong in at most 5 % of studies."""


def say(key: str, **facts: object) -> Sentence:
    """A row of one of the tables, filled."""
    return Sentence(key=key, text=(SENTENCES | CROSSED | TUNED)[key].format(**facts))
