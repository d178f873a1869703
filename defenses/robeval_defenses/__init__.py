"""Built-in defenses, registered through the same door as a guest's."""

from robeval.plugins.registry import Registry


def register(registry: Registry) -> None:
    """Name every built-in defense; nothing is imported yet."""
    registry.defense("none", "robeval.plugins.none:NoDefense", "The undefended column.")
    trajectory = "robeval_defenses.trajectory"
    registry.defense(
        "trajectory/augmentation",
        f"{trajectory}.augmentation:Augmentation",
        "Train on randomly perturbed tracks.",
    )
    registry.defense(
        "trajectory/train-smoothing",
        f"{trajectory}.train_smoothing:TrainSmoothing",
        "Smooth histories in training and at inference.",
    )
    registry.defense(
        "trajectory/smoothing", f"{trajectory}.smoothing:Smoothing", "Smooth histories at inference."
    )
    registry.defense(
        "trajectory/detect-smooth",
        f"{trajectory}.detect_smooth:DetectSmooth",
        "Smooth only the histories that a detector suspects.",
    )
    registry.defense(
        "trajectory/adversarial-training",
        f"{trajectory}.adversarial_training:AdversarialTraining",
        "Train on attacked tracks.",
    )
    registry.defense(
        "trajectory/randomised-smoothing",
        f"{trajectory}.randomised_smoothing:RandomisedSmoothing",
        "Median over noisy copies, with a certificate.",
    )
    registry.defense(
        "trajectory/train-randomised-smoothing",
        f"{trajectory}.train_randomised_smoothing:TrainRandomisedSmoothing",
        "Randomised smoothing with the same noise in training.",
    )
    _register_diffusion(registry)


def _register_diffusion(registry: Registry) -> None:
    home = "robeval_defenses.ranking"
    for name, target, summary in (
        (
            "perplexity-filter",
            "perplexity_filter:PerplexityFilter",
            "Throw out passages that a language model finds unlikely.",
        ),
        (
            "acceptability-filter",
            "acceptability_filter:AcceptabilityFilter",
            "Throw out passages that read badly, whatever their words.",
        ),
        (
            "spamicity-filter",
            "spamicity_filter:SpamicityFilter",
            "Throw out passages stuffed with the query's words.",
        ),
        (
            "coherence-filter",
            "coherence_filter:CoherenceFilter",
            "Throw out passages whose beginning does not lead to the rest.",
        ),
        (
            "learned-detector",
            "learned_detector:LearnedDetector",
            "Throw out what a classifier takes for attacked.",
        ),
        (
            "augmentation",
            "augmentation:Augmentation",
            "Train with triggers in front of what should rank lower.",
        ),
        (
            "adversarial-training",
            "adversarial_training:AdversarialTraining",
            "Train on word vectors moved for the worst.",
        ),
        ("piat", "piat:Piat", "Train lists to stay as they are when word vectors move (PIAT)."),
        (
            "certdr",
            "certdr:CertDR",
            "Mean score over random synonyms, with a certificate (CertDR).",
        ),
        (
            "random-masking",
            "random_masking:RandomMasking",
            "Mean score over random masks, with a sound certificate.",
        ),
    ):
        registry.defense(f"ranking/{name}", f"{home}.{target}", summary, extra="ranking")
    home = "robeval_defenses.diffusion"
    for name, target, summary in (
        ("esd", "esd:Esd", "Train the model to steer away from the concept (ESD)."),
        ("adv-unlearn", "adv_unlearn:AdvUnlearn", "Erase the concept under attack (AdvUnlearn)."),
        ("sfd", "sfd:Sfd", "Distil into a one-step generator that lacks the concept (SFD)."),
        ("uce", "uce:Uce", "Edit the cross-attention in closed form (UCE)."),
        (
            "text-encoder",
            "text_encoder:TextEncoder",
            "Plug in a text encoder that was made robust elsewhere.",
        ),
        ("prompt-filter", "prompt_filter:PromptFilter", "Refuse prompts that ask for the concept."),
        ("classifier-guard", "classifier_guard:ClassifierGuard", "Withhold pictures that show the concept."),
    ):
        registry.defense(f"diffusion/{name}", f"{home}.{target}", summary, extra="diffusion")
