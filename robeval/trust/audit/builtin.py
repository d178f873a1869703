"""Built-in audit checks, registered through the same door as a guest's."""

from robeval.plugins.registry import Registry


def register(registry: Registry) -> None:
    """Name every check; they serve every domain."""
    here = "robeval.trust.audit"
    registry.check(
        "gradient-path", f"{here}.gradient_path:GradientPath", "Does the gradient reach the input?"
    )
    registry.check(
        "noisy-gradient", f"{here}.noisy_gradient:NoisyGradient", "Do two draws of the noise agree?"
    )
    registry.check("random-noise", f"{here}.random_noise:RandomNoise", "Does the attack beat random noise?")
    registry.check("one-step", f"{here}.one_step:OneStep", "Do many steps beat one?")
    registry.check("larger-budget", f"{here}.larger_budget:LargerBudget", "Does harm rise with the budget?")
    registry.check(
        "unbounded-budget",
        f"{here}.unbounded_budget:UnboundedBudget",
        "Does every victim fall without a bound?",
    )
    registry.check("black-box", f"{here}.black_box:BlackBox", "Does white-box beat black-box?")
    registry.check("converged", f"{here}.converged:Converged", "Had the attack come to rest?")
    registry.check("certificate-holds", f"{here}.certificate:CertificateHolds", "Does what was proven hold?")
