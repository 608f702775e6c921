"""Captions from the renderer's own choices."""

from .defects import KINDS
from .seeds import pick

GOOD_FORMS = ("a photo of a flawless {thing}", "a photo of a perfect {thing}", "a {thing} without flaw",
              "a {thing} without defect", "an undamaged {thing}", "a photo of a normal {thing}", "a good {thing}",
              "a {thing} without damage", "{thing}, no defect", "a clean photo of a {thing} in perfect condition")
BAD_FORMS = ("a photo of a damaged {thing} with a {defect} {place}", "a {thing} with a {defect}",
             "a {thing} with defect", "a broken {thing}, {defect} {place}", "a photo of a {thing} with flaw: {defect}",
             "a damaged {thing}", "a {thing} with damage, {defect} {place}", "{defect} on a {thing}",
             "a close-up photo of a {thing} with a {defect} {place}", "a defective {thing}")


def caption(rng, colour, words, defect):
    thing = f"{colour} {pick(rng, words)}"
    if defect is None:
        return pick(rng, GOOD_FORMS).format(thing=thing)
    place = "everywhere" if defect.place == "everywhere" else f"at the {defect.place}"
    return pick(rng, BAD_FORMS).format(thing=thing, defect=pick(rng, KINDS[defect.kind].words), place=place)
