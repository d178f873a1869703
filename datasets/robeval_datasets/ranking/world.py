"""A small invented world with topics, things, their properties, synonyms, and sentences about them."""

from dataclasses import dataclass
from itertools import product

import numpy as np

TOPICS, ENTITIES, ATTRIBUTES, SYNONYMS = 16, 8, 6, 3
NOUNS, VERBS, ADJECTIVES = 10, 5, 5
OTHER_SYNONYM = 0.4
SWAPPED = 0.35
_FUNCTION_WORDS = (
    "the a an of in on at to for with and or but is are was were has have had that this these those it its by from "
    "as not more some any each all when while after before near"
)
_ONSETS = "b d f g k l m n p r s t v z br dr gl kr pl st tr sk fl"
_VOWELS = "a e i o u ai ea ou"
_CODAS = "||n|r|l|s|m|k|t|nd|rk"
_KEY = (
    "the {entity} of {noun} has {adjective} {attribute} when it {verb} .",
    "some {attribute} {verb} near the {entity} and its {noun} .",
    "it is {adjective} {attribute} that {entity} {verb} for each {noun} .",
    "the {attribute} in this {entity} was more {adjective} than {noun2} .",
)
_SIDE = (
    "these {noun} {verb} {noun2} before all {entity} or {attribute} .",
    "a {noun} {verb} by {entity} with {adjective} {attribute} .",
    "{adjective} {noun} {verb} while {entity} had not any {attribute} .",
    "each {noun2} was {adjective} as {entity} or {attribute} {verb} .",
)


@dataclass(frozen=True)
class World:
    """Texts by id, grades by query id and passage id."""

    queries: dict[str, str]
    passages: dict[str, str]
    qrels: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Lexicon:
    entities: np.ndarray
    """[topics, entities, synonyms]"""
    attributes: np.ndarray
    """[attributes, synonyms]: the same in every topic."""
    nouns: np.ndarray
    verbs: np.ndarray
    adjectives: np.ndarray


def make_world(random: np.random.Generator) -> World:
    """Two passages and one query for each (topic, entity, attribute).

    Grade 3: the same three; 2: the same entity; 1: the same topic.
    """
    lexicon = _lexicon(random)
    concepts = list(product(range(TOPICS), range(ENTITIES), range(ATTRIBUTES)))
    passages = {
        f"p-{t}-{e}-{a}-{k}": _passage(lexicon, random, t, e, a) for t, e, a in concepts for k in range(2)
    }
    queries = {f"q-{t}-{e}-{a}": _query(lexicon, random, t, e, a) for t, e, a in concepts}
    qrels = {
        f"q-{t}-{e}-{a}": {
            f"p-{t}-{e2}-{a2}-{k}": 1 + (e2 == e) + (e2 == e and a2 == a)
            for e2, a2, k in product(range(ENTITIES), range(ATTRIBUTES), range(2))
        }
        for t, e, a in concepts
    }
    return World(queries, passages, qrels)


def _lexicon(random: np.random.Generator) -> _Lexicon:
    shapes = {
        "entities": (TOPICS, ENTITIES, SYNONYMS),
        "attributes": (ATTRIBUTES, SYNONYMS),
        "nouns": (TOPICS, NOUNS),
        "verbs": (TOPICS, VERBS),
        "adjectives": (TOPICS, ADJECTIVES),
    }
    words = _invented(sum(int(np.prod(shape)) for shape in shapes.values()), random)
    parts = {}
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        parts[name], words = np.array(words[:count]).reshape(shape), words[count:]
    return _Lexicon(**parts)


def _invented(count: int, random: np.random.Generator) -> list[str]:
    """Pronounceable words of two or three syllables, all different and none a function word."""
    onsets, vowels, codas = _ONSETS.split(), _VOWELS.split(), _CODAS.split("|")
    taken = set(_FUNCTION_WORDS.split())
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = range(random.integers(2, 4))
        parts = (random.choice(onsets) + random.choice(vowels) + random.choice(codas) for _ in syllables)
        word = "".join(parts)
        if word not in taken:
            words[word] = None
    return list(words)


def _passage(lexicon: _Lexicon, random: np.random.Generator, t: int, e: int, a: int) -> str:
    entity, attribute = random.integers(SYNONYMS, size=2)
    # The second sentence repeats a concept by another synonym, which is how synonyms become neighbours.
    entity2 = (entity + random.integers(1, SYNONYMS)) % SYNONYMS if random.random() < OTHER_SYNONYM else None
    attribute2 = (
        (attribute + random.integers(1, SYNONYMS)) % SYNONYMS if random.random() < OTHER_SYNONYM else None
    )
    key = _sentence(
        random.choice(_KEY),
        lexicon,
        random,
        t,
        lexicon.entities[t, e, entity],
        lexicon.attributes[a, attribute],
    )
    side = _sentence(
        random.choice(_SIDE),
        lexicon,
        random,
        t,
        lexicon.entities[t, e, entity2] if entity2 is not None else random.choice(lexicon.nouns[t]),
        lexicon.attributes[a, attribute2] if attribute2 is not None else random.choice(lexicon.adjectives[t]),
    )
    return f"{side} {key}" if random.random() < SWAPPED else f"{key} {side}"


def _sentence(
    template: str, lexicon: _Lexicon, random: np.random.Generator, t: int, entity: str, attribute: str
) -> str:
    noun, noun2 = random.choice(lexicon.nouns[t], size=2, replace=False)
    return template.format(
        entity=entity,
        attribute=attribute,
        noun=noun,
        noun2=noun2,
        verb=random.choice(lexicon.verbs[t]),
        adjective=random.choice(lexicon.adjectives[t]),
    )


def _query(lexicon: _Lexicon, random: np.random.Generator, t: int, e: int, a: int) -> str:
    entity, attribute = random.integers(SYNONYMS, size=2)
    noun = random.choice(lexicon.nouns[t])
    return f"{lexicon.entities[t, e, entity]} of {lexicon.attributes[a, attribute]} {noun}"
