"""Defects of whole parts, and of the texture as a whole."""

import numpy as np

from .defects import Change, kind
from .seeds import pick

GLOBAL = "wrong texture"


@kind("missing part", "absent part", "missing component", "missing piece", fits=lambda scene: len(scene.parts) > 0, weight=4.0)
def missing_part(site):
    part = pick(site.rng, site.scene.parts)
    return Change(site.scene.look(site.view, {"without": part}), part=site.scene.word_of(part))


@kind("misplaced part", "shifted part", "crooked part", "wrong position", fits=lambda scene: len(scene.parts) > 0, weight=4.0)
def misplaced_part(site):
    rng = site.rng
    part = pick(rng, site.scene.parts)
    reach, angle = (0.012 + 0.1 * site.strength), rng.uniform(0, 2 * np.pi)
    turn = rng.normal(0, 0.2 + 0.6 * site.strength) if rng.random() < 0.6 else 0.0
    edit = {"moved": (part, (reach * np.cos(angle), reach * np.sin(angle), turn))}
    return Change(site.scene.look(site.view, edit), part=site.scene.word_of(part))


@kind(GLOBAL, "irregular texture", "different structure", "wrong pattern", "deviating texture",
      fits=lambda scene: scene.textured, everywhere=True)
def wrong_texture(site):
    return Change(site.scene.look(site.view, site.scene.altered(site.rng, site.strength)))
