"""Captions from the renderer's own choices."""

from .defects import KINDS
from .seeds import pick

GOOD_STATES = ("flawless {}", "perfect {}", "unblemished {}", "{} without flaw", "{} without defect", "{} without damage",
               "undamaged {}", "intact {}", "normal {}", "good {}", "faultless {}", "{} in perfect condition", "{}")
BAD_STATES = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage", "defective {}", "faulty {}",
              "flawed {}", "abnormal {}", "bad {}", "{} with a fault", "imperfect {}")
# {defect} and {place} as the defect has them.
NAMED_STATES = ("{thing} with a {defect}", "{thing} with a {defect} {place}", "damaged {thing} with a {defect}",
                "{thing} with defect: {defect} {place}", "defective {thing}, {defect} {place}", "{thing} that has a {defect}",
                "broken {thing}, {defect}")
SCENES = ("a photo of {}", "a photo of {}.", "a close-up photo of {}", "a cropped photo of {}", "an image of {}", "{}",
          "{}.", "there is {} in the scene", "a picture of {} for inspection", "this is {}", "a camera image of {}")
GENERIC = ("object", "object", "object", "part", "product", "item", "surface")

def with_article(words, definite):
    if definite:
        return "the " + words
    # Plurals are led by "rows of" or end so before their state.
    noun = words.split(" with")[0].split(",")[0].split(" that")[0].split(" in ")[0].split(" on ")[0].split(" of ")[0]
    if noun.endswith("s") and not noun.endswith("ss"):
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words


def caption(rng, thing, adjectives, defect):
    """`thing`: what the product is; `adjectives`: truths about the photo ("dark", "blurry")."""
    if rng.random() < 0.2:
        thing = pick(rng, GENERIC)
    if defect is None:
        described = pick(rng, GOOD_STATES).format(thing)
    elif rng.random() < 0.45:
        described = pick(rng, BAD_STATES).format(thing)
    else:
        kind = KINDS[defect.kind]
        word = kind.name if rng.random() < 0.4 else pick(rng, kind.words)
        if defect.part and rng.random() < 0.5:
            word = f"{word.split()[0]} {defect.part}"
        if defect.size < 0.08 and rng.random() < 0.4:
            word = pick(rng, ("small ", "tiny ")) + word
        elif not kind.everywhere and defect.size > 0.3 and rng.random() < 0.4:
            word = pick(rng, ("large ", "long " if kind.slender else "big ")) + word
        place = "everywhere" if kind.everywhere else pick(rng, ("at the {}", "in the {}")).format(defect.place)
        described = pick(rng, NAMED_STATES).format(thing=thing, defect=word, place=place)
        for part in ("with a ", "has a ", ": a "):
            described = _fix(described, part)
    text = pick(rng, SCENES).format(with_article(described, rng.random() < 0.35))
    if adjectives and "photo" in text and rng.random() < 0.3:
        text = text.replace("photo", pick(rng, adjectives) + " photo", 1)
    return text


def _fix(text, lead):
    """No article before a plural, "an" before a vowel, after `lead`."""
    at = text.find(lead)
    if at < 0:
        return text
    rest = text[at + len(lead):]
    noun = rest.split(" at the ")[0].split(" in the ")[0].split(" everywhere")[0]
    bare = lead[:-2]
    if noun.endswith(("s", "dirt", "debris", "lint", "rust", "mould", "fading", "shading", "damage")) and not noun.endswith("ss"):
        return text[:at] + bare + rest
    return text[:at] + bare + ("an " if rest[0] in "aeiou" else "a ") + rest
