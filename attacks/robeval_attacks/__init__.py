"""Built-in attacks, registered through the same door as a guest's."""

from robeval.plugins.registry import Registry


def register(registry: Registry) -> None:
    """Name every built-in attack; nothing is imported yet."""
    registry.attack("none", "robeval.plugins.none:NoAttack", "The clean row: nothing is perturbed.")
    trajectory = "robeval_attacks.trajectory"
    registry.attack("trajectory/noise", f"{trajectory}.noise:Noise", "Random displacement within bounds.")
    registry.attack(
        "trajectory/search", f"{trajectory}.search:Search", "Gradient search as published (CVPR 2022)."
    )
    registry.attack(
        "trajectory/search-plus",
        f"{trajectory}.search_plus:SearchPlus",
        "Gradient search with a stronger solver.",
    )
    registry.attack("trajectory/pso", f"{trajectory}.pso:ParticleSwarm", "Black-box particle swarm search.")
    registry.attack(
        "trajectory/control",
        f"{trajectory}.control:Control",
        "Gradient search over acceleration and curvature.",
    )
    registry.attack(
        "trajectory/sa-attack", f"{trajectory}.sa_attack:SAAttack", "Stealthy: rebuilt by a path follower."
    )
    ranking = "robeval_attacks.ranking"
    registry.attack(
        "ranking/imitation", f"{ranking}.imitation:Imitation", "Copy the victim from ranked lists."
    )
    registry.attack("ranking/pat", f"{ranking}.pat:PAT", "Fluent triggers by imitation, as published.")
    registry.attack(
        "ranking/pat-plus", f"{ranking}.pat_plus:PATPlus", "Triggers by imitation, stronger search."
    )
    registry.attack(
        "ranking/collision", f"{ranking}.collision:Collision", "Text that collides with the query."
    )
    registry.attack(
        "ranking/hotflip", f"{ranking}.hotflip:HotFlip", "Words that the ranker's gradient asks for."
    )
    registry.attack(
        "ranking/word-substitution",
        f"{ranking}.word_substitution:WordSubstitution",
        "Replace words by neighbours (PRADA).",
    )
    registry.attack(
        "ranking/query-stuffing",
        f"{ranking}.query_stuffing:QueryStuffing",
        "The query in the passage (Query+).",
    )
    registry.attack("ranking/random-trigger", f"{ranking}.random_trigger:RandomTrigger", "Random words.")
    _diffusion(registry)


def _diffusion(registry: Registry) -> None:
    diffusion = "robeval_attacks.diffusion"
    for name, target, summary in (
        ("unlearn-diff", "unlearn_diff:UnlearnDiff", "The victim's own noise prediction leads to the words."),
        ("gcg", "gcg:GCG", "Tokens exchanged one at a time, each exchange measured by the victim."),
        ("p4d", "p4d:P4D", "Make the victim answer as the undefended model does."),
        ("ring-a-bell", "ring_a_bell:RingABell", "Words near the concept, to the public text encoder."),
        ("soft-prompt", "soft_prompt:SoftPrompt", "Vectors instead of words: a stronger attacker."),
        ("random-prefix", "random_prefix:RandomPrefix", "Random words: what every search has to beat."),
        ("seed-search", "seed_search:SeedSearch", "Other noise for the same words."),
    ):
        registry.attack(f"diffusion/{name}", f"{diffusion}.{target}", summary, extra="diffusion")
