"""Built-in datasets, registered through the same door as a guest's."""

from robeval.plugins.registry import Registry


def register(registry: Registry) -> None:
    """Name every built-in dataset; nothing is imported yet."""
    trajectory = "robeval_datasets.trajectory"
    registry.dataset(
        "trajectory/synthetic",
        f"{trajectory}.synthetic:Synthetic",
        "Seeded driving scenes, made on the spot.",
    )
    registry.dataset(
        "trajectory/nuscenes", f"{trajectory}.nuscenes:NuScenes", "nuScenes through its devkit (2 Hz)."
    )
    registry.dataset(
        "trajectory/apolloscape",
        f"{trajectory}.apolloscape:ApolloScape",
        "ApolloScape trajectory text files (2 Hz).",
    )
    registry.dataset(
        "trajectory/ngsim", f"{trajectory}.ngsim:NGSIM", "NGSIM US-101 and I-80 recordings (10 Hz, feet)."
    )
    registry.dataset("trajectory/eth-ucy", f"{trajectory}.eth_ucy:EthUcy", "ETH and UCY pedestrians (0.4 s).")
    diffusion = "robeval_datasets.diffusion"
    registry.dataset(
        "diffusion/synthetic",
        f"{diffusion}.synthetic:Synthetic",
        "Seeded pictures of shapes, textures and colours.",
        extra="diffusion",
    )
    registry.dataset(
        "diffusion/prompts",
        f"{diffusion}.prompts:Prompts",
        "Prompts from a CSV or JSON Lines file.",
        extra="diffusion",
    )
    ranking = "robeval_datasets.ranking"
    registry.dataset(
        "ranking/synthetic",
        f"{ranking}.synthetic:Synthetic",
        "Seeded queries and passages about an invented world.",
        extra="ranking",
    )
    for name, target, summary, extra in (
        ("tsv", "tsv:TSV", "Queries and passages in the files of MS MARCO and TREC.", "ranking"),
        ("jsonl", "jsonl:JSONLines", "Queries and passages in JSON Lines.", "ranking"),
        ("cranfield", "cranfield:Cranfield", "The Cranfield collection in SMART's format.", "ranking"),
        ("ir-datasets", "ir_datasets_source:IRDatasets", "Any id of the ir_datasets library.", "ir-datasets"),
    ):
        registry.dataset(f"ranking/{name}", f"{ranking}.{target}", summary, extra=extra)
