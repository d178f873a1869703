"""Built-in domains and their victims, registered through the same door as a guest's."""

from robeval.plugins.registry import Registry


def register(registry: Registry) -> None:
    """Name every built-in domain and victim; nothing is imported yet."""
    registry.domain(
        "trajectory",
        "robeval.domains.trajectory.domain:Trajectory",
        "Where will a road user be, given where it was?",
    )
    victims = "robeval.domains.trajectory.victims"
    registry.victim(
        "trajectory/constant-velocity",
        f"{victims}.constant_velocity:ConstantVelocity",
        "Keeps the last velocity.",
    )
    registry.victim("trajectory/lstm", f"{victims}.lstm:LSTM", "Encoder-decoder over displacements.")
    registry.victim("trajectory/grip", f"{victims}.grip:GRIP", "Compact GRIP++: graph convolutions and GRUs.")
    registry.victim("trajectory/fqa", f"{victims}.fqa:FQA", "Compact FQA: fuzzy queries between agents.")
    registry.victim(
        "trajectory/trajectron",
        f"{victims}.trajectron:Trajectron",
        "Compact Trajectron++: CVAE with K modes.",
    )
    registry.domain(
        "diffusion",
        "robeval.domains.diffusion.domain:Diffusion",
        "Text to image: can a prompt bring an erased concept back?",
        extra="diffusion",
    )
    diffusion = "robeval.domains.diffusion.victims"
    registry.victim(
        "diffusion/small",
        f"{diffusion}.small:Small",
        "Stable Diffusion's parts in small; trained in minutes.",
        extra="diffusion",
    )
    registry.victim(
        "diffusion/pretrained",
        f"{diffusion}.pretrained:Pretrained",
        "A Stable Diffusion pipeline from a folder or the hub.",
        extra="diffusion",
    )
    registry.domain(
        "ranking",
        "robeval.domains.ranking.domain:RankingDomain",
        "Which passages are shown first for a query?",
    )
    rankers = "robeval.domains.ranking.victims"
    for name, target, summary, extra in (
        ("bm25", "bm25:BM25", "Counts the query's words; no training.", "ranking"),
        ("cross-encoder", "cross_encoder:CrossEncoder", "Small BERT, query and passage together.", "ranking"),
        ("bi-encoder", "bi_encoder:BiEncoder", "Small BERT, query and passage apart.", "ranking"),
        (
            "transformers",
            "transformers_cross:TransformersCrossEncoder",
            "Any pretrained cross-encoder by name or path.",
            "ranking",
        ),
        (
            "sentence-transformers",
            "sentence:SentenceEncoder",
            "Any sentence-transformers model by name or path.",
            "ranking",
        ),
        ("minilm", "sentence:MiniLM", "Real all-MiniLM-L6-v2 weights as a bi-encoder.", "minilm"),
        (
            "minilm-cross-encoder",
            "transformers_cross:MiniLMCrossEncoder",
            "all-MiniLM-L6-v2 fine-tuned here as a cross-encoder.",
            "minilm",
        ),
    ):
        registry.victim(f"ranking/{name}", f"{rankers}.{target}", summary, extra=extra)
