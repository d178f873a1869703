"""The words of the embedded world of shapes, textures and colours.

Every shape and texture has rarer synonyms: those are what a weak eraser forgets to erase, and what an attack finds.
"""

SHAPES: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "wedge", "pyramid"),
    "cross": ("cross", "plus", "swiss"),
}
TEXTURES: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "solid"),
    "striped": ("striped", "banded", "lined"),
    "dotted": ("dotted", "spotted", "speckled"),
}
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "ruby", "scarlet"),
    "green": ("green", "emerald", "olive"),
    "blue": ("blue", "azure", "navy"),
    "yellow": ("yellow", "golden", "amber"),
    "white": ("white", "ivory", "snowy"),
}
SYNONYM_SHARE = (0.75, 0.15, 0.10)
"""How often captions use the first, second and third word for a thing."""

HEADS: tuple[tuple[str, ...], ...] = (tuple(SHAPES), tuple(TEXTURES), tuple(COLOURS))
"""What the embedded detector tells apart."""

TEMPLATES = (
    "a photo of a {c} {t} {s}",
    "{c} {s}",
    "a {s}",
    "picture of a {t} {c} {s}",
    "a {c} {t} {s}",
    "a drawing of a {c} {t} {s}",
    "the {t} {s}",
    "image of the {c} {s}",
)
FULL_TEMPLATES = tuple(text for text in TEMPLATES if all(slot in text for slot in ("{c}", "{t}", "{s}")))
"""The templates that say everything."""

FILLERS = (
    "house", "river", "small", "large", "bright", "shadow", "mountain", "window", "paper", "garden", "silver",
    "quiet", "morning", "ocean", "winter", "summer", "forest", "metal", "wooden", "glass", "street", "cloud",
    "stone", "table", "music", "letter", "number", "country", "simple", "modern", "style", "art",
)  # fmt: skip
"""Words that no caption uses: they only enlarge the vocabulary that an attack searches."""


def vocabulary() -> tuple[str, ...]:
    """Every word that the embedded tokenizer keeps whole, sorted."""
    groups = [*SHAPES.values(), *TEXTURES.values(), *COLOURS.values()]
    templates = {word for text in TEMPLATES for word in text.split() if "{" not in word}
    return tuple(sorted({word for group in groups for word in group} | templates | set(FILLERS)))
