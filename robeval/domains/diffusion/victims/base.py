"""What every latent diffusion victim can do: encode text, predict noise, sample pictures. All of it is batched."""

from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import Denoising, Drawn, NoiseFound, PromptBatch
from robeval.errors import PluginError
from robeval.plugins.victim import Victim
from robeval.seeding import Draws


class LatentDiffusion(Victim):
    """A text encoder, a noise predictor (UNet) and an autoencoder of pictures, as in Stable Diffusion.

    The submodules `text_encoder` (CLIPTextModel), `unet` (UNet2DConditionModel) and `vae` are the transformers' and
    diffusers' own. Everything below is differentiable in its tensors and treats every row on its own.
    """

    domain: ClassVar[str] = "diffusion"

    text_encoder: Any
    unet: Any
    vae: Any
    alphas: Tensor
    """Cumulative products of 1 - beta, one per timestep: a buffer, [timesteps]."""
    one_step_from: Tensor
    """A buffer: the timestep from which one step draws the picture (a distilled generator); 0 for a full sampler."""
    tokenizer: str
    prediction: str = "epsilon"
    sampling_steps: int
    guidance: float

    def forward(self, question: Any) -> Any:
        """`PromptBatch` → `Drawn`; `Denoising` → `NoiseFound`. Raises PluginError for anything else."""
        if isinstance(question, PromptBatch):
            return self.draw(question)
        if isinstance(question, Denoising):
            hidden = self.encode(question.embedded)
            return NoiseFound(self.predict_noise(question.latents, question.timestep, hidden))
        raise PluginError(
            f"a text-to-image victim answers PromptBatch and Denoising, not {type(question).__name__}"
        )

    def draw(self, batch: PromptBatch) -> Drawn:
        """The pictures for the prompts' texts, from each example's own seed.

        Raises PluginError when the prompts were encoded by another tokenizer.
        """
        if batch.tokenizer != self.tokenizer:
            raise PluginError(
                f"the prompts were encoded by tokenizer '{batch.tokenizer}', but {type(self).__name__} reads "
                f"'{self.tokenizer}'. Give the dataset the option model={self.tokenizer}"
            )
        latents = self.sample(self.hidden(batch), batch.seed)
        return Drawn(self.to_image(latents))

    def hidden(self, batch: PromptBatch) -> Float[Tensor, "batch length features"]:
        """The text encoder's last hidden states for prompts as they are read (as text), soft slots put in front."""
        return self.encode(with_soft(self.embed(batch.as_text().tokens), batch.soft))

    def embed(self, tokens: Int64[Tensor, "batch length"]) -> Float[Tensor, "batch length features"]:
        """Rows of the token table; positions are added inside `encode`."""
        return cast(Tensor, self.token_table(tokens))

    @property
    def token_table(self) -> nn.Embedding:
        """The victim's own table of token embeddings: `.weight` is [vocabulary, width]."""
        return cast(nn.Embedding, self.text_encoder.get_input_embeddings())

    def encode(
        self, embedded: Float[Tensor, "batch length features"]
    ) -> Float[Tensor, "batch length features"]:
        """The text encoder's last hidden states (final layer norm included) for token embeddings."""
        table = self.token_table
        # CLIPTextModel takes no embeddings, in any version: its table answers with ours for one call.
        answer = table.register_forward_hook(lambda *_: embedded)
        try:
            ids = torch.zeros(embedded.shape[:2], dtype=torch.long, device=embedded.device)
            states = self.text_encoder(input_ids=ids).last_hidden_state
        finally:
            answer.remove()
        return cast(Tensor, states)

    def encode_text(self, texts: tuple[str, ...]) -> Float[Tensor, "batch length features"]:
        """The same for texts."""
        return self.encode(
            self.embed(text_tokens.encoded(self.tokenizer, texts, self.length).to(self.device))
        )

    @property
    def length(self) -> int:
        """How many tokens a prompt has, padding included."""
        return int(self.text_encoder.config.max_position_embeddings)

    @property
    def width(self) -> int:
        """How many numbers a token's embedding has."""
        return int(self.text_encoder.config.hidden_size)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        config: Any = self.unet.config
        return int(config.in_channels), int(config.sample_size), int(config.sample_size)

    @property
    def timesteps(self) -> int:
        """How many noise levels there are (usually 1000)."""
        return len(self.alphas)

    def predict_noise(
        self,
        latents: Float[Tensor, "batch channels height width"],
        timestep: Int64[Tensor, " batch"],
        hidden: Float[Tensor, "batch length features"],
    ) -> Float[Tensor, "batch channels height width"]:
        """The noise in noised latents, given the text's hidden states."""
        found: Tensor = self.unet(latents, timestep, encoder_hidden_states=hidden).sample
        if self.prediction == "v_prediction":
            alpha = self.alpha_at(timestep)
            found = alpha.sqrt() * found + (1 - alpha).sqrt() * latents
        return found

    def alpha_at(self, timestep: Int64[Tensor, " batch"]) -> Float[Tensor, "batch 1 1 1"]:
        """The share of the signal's variance at a timestep."""
        return self.alphas[timestep].view(-1, 1, 1, 1)

    def noised(
        self,
        latents: Float[Tensor, "batch channels height width"],
        timestep: Int64[Tensor, " batch"],
        noise: Float[Tensor, "batch channels height width"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Clean latents, mixed with noise as at `timestep`."""
        alpha = self.alpha_at(timestep)
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def latent_noise(self, seed: Int64[Tensor, " batch"]) -> Float[Tensor, "batch channels height width"]:
        """The noise that each seed names, the same on every machine and device."""
        drawn = Draws(seed).normal(*self.latent_shape)
        return drawn.to(self.alphas.dtype)

    def guided(
        self,
        latents: Float[Tensor, "batch channels height width"],
        timestep: Int64[Tensor, " batch"],
        hidden: Float[Tensor, "batch length features"],
        guidance: float,
    ) -> Float[Tensor, "batch channels height width"]:
        """Classifier-free guidance; guidance 1 asks once, otherwise with and without the text in one call."""
        if guidance == 1:
            return self.predict_noise(latents, timestep, hidden)
        empty = self.encode_text(("",)).to(hidden.dtype).expand_as(hidden)
        both = self.predict_noise(
            torch.cat([latents, latents]), torch.cat([timestep, timestep]), torch.cat([empty, hidden])
        )
        without, with_text = both.chunk(2)
        return without + guidance * (with_text - without)

    def sample(
        self,
        hidden: Float[Tensor, "batch length features"],
        seed: Int64[Tensor, " batch"],
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Clean latents for encoded texts: DDIM without noise of its own, or one step of a distilled generator."""
        strength = self.guidance if guidance is None else guidance
        noise = self.latent_noise(seed)
        start = int(self.one_step_from)
        if start:
            timestep = torch.full_like(seed, start)
            alpha = self.alpha_at(timestep)
            latents = (1 - alpha).sqrt() * noise
            found = self.predict_noise(latents, timestep, hidden)
            return (latents - (1 - alpha).sqrt() * found) / alpha.sqrt()
        return self._steps(noise, hidden, self.sampling_steps if steps is None else steps, strength)[-1]

    def trajectory(
        self,
        hidden: Float[Tensor, "batch length features"],
        seed: Int64[Tensor, " batch"],
        steps: int | None = None,
        guidance: float | None = None,
    ) -> tuple[list[Tensor], list[int]]:
        """The latents before every sampling step and the timesteps that they stand at (for erasing without images)."""
        strength = self.guidance if guidance is None else guidance
        count = self.sampling_steps if steps is None else steps
        latents = self._steps(self.latent_noise(seed), hidden, count, strength)
        return latents[:-1], self.scheduler(count).timesteps.tolist()

    def _steps(self, latents: Tensor, hidden: Tensor, steps: int, guidance: float) -> list[Tensor]:
        scheduler = self.scheduler(steps)
        visited = [latents]
        for moment in scheduler.timesteps.tolist():
            timestep = torch.full((len(latents),), moment, dtype=torch.long, device=latents.device)
            noise = self.guided(latents, timestep, hidden, guidance)
            latents = scheduler.step(noise, moment, latents).prev_sample
            visited.append(latents)
        return visited

    def scheduler(self, steps: int) -> Any:
        """A new DDIM scheduler (schedulers keep state) with `steps` timesteps set."""
        from diffusers import DDIMScheduler

        betas = 1 - self.alphas.double() / torch.cat(
            [self.alphas.new_ones(1).double(), self.alphas[:-1].double()]
        )
        made = DDIMScheduler(
            num_train_timesteps=self.timesteps,
            trained_betas=betas.float().cpu().numpy(),
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type="epsilon",
        )
        made.set_timesteps(steps)
        return made

    def to_latents(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels small narrow"]:
        """Pictures in [0, 1] → latents (the encoder's mean, scaled)."""
        found = self.vae.encode(image * 2 - 1).latent_dist.mean
        return cast(Tensor, found * self.vae.config.scaling_factor)

    def to_image(
        self, latents: Float[Tensor, "batch channels small narrow"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Latents → pictures in [0, 1]; NaN stays NaN."""
        scaled = latents / self.vae.config.scaling_factor
        decoded: Tensor = self.vae.decode(scaled).sample
        return (decoded / 2 + 0.5).clamp(0, 1)

    def loss(self, batch: PromptBatch) -> Float[Tensor, " batch"]:
        """The denoising loss on captioned pictures. Raises NotImplementedError where nothing is trained."""
        raise NotImplementedError(f"{type(self).__name__} cannot be trained from pictures")


class Around(nn.Module):
    """A victim with something around it at inference; override `forward`, ask `self.victim`.

    `Denoising` questions belong to white-box attackers: pass them on unless the defense changes the network.
    """

    def __init__(self, victim: nn.Module) -> None:
        """Raises PluginError when `victim` is no text-to-image model."""
        super().__init__()
        generator(victim)
        self.victim = victim

    def forward(self, question: Any) -> Any:
        """The victim's own answer."""
        return self.victim(question)


def generator(module: nn.Module) -> LatentDiffusion:
    """The latent diffusion model inside `module` (itself, or what wrappers hold as `victim`).

    Raises PluginError when there is none.
    """
    inner: Any = module
    while not isinstance(inner, LatentDiffusion):
        inner = getattr(inner, "victim", None)
        if inner is None:
            raise PluginError(
                f"a text-to-image model (LatentDiffusion) was expected, but {type(module).__name__} is none; "
                "use a victim of the domain 'diffusion'"
            )
    return inner


def with_soft(
    embedded: Float[Tensor, "batch length features"], soft: Float[Tensor, "batch slots features"]
) -> Float[Tensor, "batch length features"]:
    """Token embeddings with the used slots of `soft` put in behind the start; the end of the padding falls off."""
    if not soft.shape[1]:
        return embedded
    length = embedded.shape[1]
    everything = torch.cat([embedded[:, :1], soft.to(embedded.dtype), embedded[:, 1:]], dim=1)
    unused = torch.zeros(everything.shape[:2], dtype=torch.bool, device=embedded.device)
    unused[:, 1 : 1 + soft.shape[1]] = ~(soft != 0).any(dim=-1)
    place = torch.arange(everything.shape[1], device=embedded.device) + unused * everything.shape[1]
    order = place.argsort(dim=1)[:, :length, None].expand(-1, -1, embedded.shape[2])
    return everything.gather(1, order)


def scaled_linear_alphas(timesteps: int = 1000) -> Float[Tensor, " timesteps"]:
    """Stable Diffusion's noise schedule: square roots of beta from 0.00085 to 0.012, linear."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, timesteps, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()
