"""Training at full size: finetuning and supervised training of CLIP's image towers on ImageNet.

Lightning trains, in one process for each GPU that it (or srun, or torchrun) starts. Here is what is
trained, and on what; the losses are those of `objectives`. Every random draw follows from the seed,
the epoch and the image. The state is kept after every epoch, and a killed training goes on from
there as it would have gone on; a state is opened as tensors and plain values alone. Normalisation
over a batch (CLIP's ResNets) uses what one process computes; its averages are the first's.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from lightning.pytorch import LightningModule, Trainer
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchvision.transforms import InterpolationMode, v2

from analysis.families.registry import Model
from analysis.features import checkpoints, encoders, heads, networks
from analysis.features.plan import head_prompts
from analysis.features.preprocess import to_pixels
from analysis.images import find, sets
from analysis.images.imagelist import DamagedImageError, ImageList
from analysis.images.sets import DatasetError
from base.files import replaced
from base.texts import CompanionError
from training import recipe_tables, recipes, results
from training.objectives import Classifier, weights_of
from training.recipes import ClassifierSettings, TrainingError, TrainOptions

TRAIN_SET, VAL_SET = "imagenet-train", "imagenet"


class ImageError(TrainingError):
    """An image cannot be read: one process finds it, the others do not know of it."""

    def __init__(self, message: str) -> None:
        # of an error in a process that decodes, PyTorch passes a whole traceback on
        super().__init__(message.strip().splitlines()[-1].rpartition("ImageError: ")[2])


def read_data(options: TrainOptions) -> tuple[ImageList, ImageList | None]:
    """List the images to train on, and those to measure on, which must have the same classes."""
    known = sets.descriptions()
    if options.data in known and options.data != TRAIN_SET:
        raise TrainingError(
            f"{options.data} is a set to measure on, and must not be trained on: use {TRAIN_SET}, "
            "or a folder of your own."
        )
    images = _listed(options.data, options)
    if (images.labels < 0).any():
        raise TrainingError(f"{options.data} has no subfolders: one per class is expected.")
    val = options.val
    if val is None and options.data == TRAIN_SET:
        with suppress(DatasetError):  # an absent one is no error, an incomplete one is
            sets.locate(known[VAL_SET])
            val = VAL_SET
    return images, _listed(val, options).expect(images.classes) if val else None


def _listed(text: str, options: TrainOptions) -> ImageList:
    lists = find.find(text, accept_counts=options.accept_counts)
    if len(lists) != 1:
        raise TrainingError(f"{text} is {len(lists)} sets: name one.")
    return lists[0]


def draw(*place: int) -> None:
    """Let what is drawn next follow from a place alone, such as (seed, epoch, image)."""
    torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))


@dataclass
class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as bytes (3, size, size), which ``change`` makes of pictures, and labels.

    What it draws follows from the ``place`` (seed, epoch) and the image.
    """

    images: ImageList
    change: Callable[[Any], Any]
    place: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """Return one of them; ImageError if it cannot be read."""
        try:
            picture = self.images.image(row)
        except DamagedImageError as error:
            said = f"{self.images.name}: an image cannot be read, {error}: get it again."
            raise ImageError(said) from None
        with torch.random.fork_rng(devices=[]):
            draw(*self.place, row)
            return torch.as_tensor(self.change(picture)), int(self.images.labels[row])


def augmentation(settings: ClassifierSettings, size: int) -> v2.Compose:
    """Return the recipe's random change of a picture to bytes (3, size, size)."""
    mode = InterpolationMode(settings.crop_interpolation)
    steps: list[nn.Module] = [v2.RandomResizedCrop(size, settings.crop_scale, interpolation=mode)]
    if settings.flip:
        steps.append(v2.RandomHorizontalFlip())
    if settings.randaugment:
        number, magnitude = settings.randaugment
        steps.append(v2.RandAugment(number, magnitude, fill=[128] * 3))  # grey next to an image
    return v2.Compose([*steps, v2.PILToTensor()])


class Training(LightningModule):
    """A network that learns as its recipe says; ``made_from`` is all that decides its weights.

    Raises a CompanionError in a sentence for all that can be checked before `build` computes.
    """

    def __init__(self, options: TrainOptions) -> None:
        super().__init__()
        self.options, self.recipe = options, recipes.load(options.recipe)
        self.model, settings = find_model(options), self.recipe.settings
        assert isinstance(settings, ClassifierSettings)
        self.settings, self.finetuned = settings, self.recipe.level == "finetuned"
        self.architecture = self.model.architecture or ""
        start = self.model.name if self.finetuned else self.architecture.lower()
        name = options.name or f"{start}-{self.recipe.level}"
        self.result = options.folder() / f"{name}.safetensors"
        self.state = options.folder() / "state.ckpt"
        self.images, self.val = read_data(options)
        self.kind, here = devices(options)
        count = len(self.images)
        self.plan = recipes.plan(settings, count, options.nodes * here, options.micro_batch)
        self.made_from = {
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": options.seed,
            "architecture": self.architecture,
            "processes": self.plan.processes,
            "micro_batch": self.plan.micro_batch,
            "data": self.images.what or self.images.name,
            "images": self.images.manifest,
            "start": None,
        }
        self.curve: list[dict[str, float | int | None]] = []

    def build(self) -> None:
        """Make the network as it is before the first update.

        Supervised training starts from random weights; finetuning from a CLIP model's image tower,
        with exp(logit scale) × its zero-shot weights as a head.
        """
        model, visual = self.model, nn.Module()
        torch.manual_seed(self.options.seed)
        head = nn.Linear(model.width, len(self.images.classes))
        if self.finetuned:
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if self.kind == "cuda" else "cpu"
            loaded = encoders.load(model, device=device)
            prompts = head_prompts(model, self.images)
            if loaded.scale is None or prompts is None:
                raise TrainingError(
                    f"{model.name} has no text encoder to make its first head with: finetuning "
                    "starts from a whole CLIP model."
                )
            weight = torch.from_numpy(heads.zero_shot_head(loaded, prompts).weight)
            head.weight.data, head.bias.data = loaded.scale * weight, torch.zeros(len(weight))
            visual = loaded.encoder.cpu().requires_grad_(True)
            self.made_from["start"] = loaded.weights_sha256
        else:
            visual = open_clip.CLIP(**networks.architecture(self.architecture)).visual
        self.recipe.check_tower(type(visual).__name__)
        smoothing = self.settings.label_smoothing
        self.net = Classifier(visual, head, normalised=self.finetuned, label_smoothing=smoothing)
        self.to(memory_format=torch.channels_last).train()

    def configure_optimizers(self) -> Any:
        """Make the recipe's optimizer, whose rate follows `recipes.rate`."""
        settings, full = self.settings, self.settings.learning_rate
        own: dict[str, Any] = {"betas": settings.betas, "eps": settings.epsilon}
        own["momentum"] = settings.momentum
        optimizer = create_optimizer_v2(
            self.net,
            "momentum" if settings.optimizer == "sgd" else settings.optimizer,
            lr=full,
            weight_decay=settings.weight_decay,
            filter_bias_and_bn=settings.decayed == "matrices",
            **{name: value for name, value in own.items() if value is not None},
        )
        rate = LambdaLR(optimizer, lambda step: recipes.rate(settings, self.plan, step) / full)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def train_dataloader(self) -> Any:
        """Read this process' images in the order of this epoch."""
        change = augmentation(self.settings, self.model.preprocessing.size)
        pictures = Pictures(self.images, change, (self.options.seed, self.current_epoch))
        sampler: DistributedSampler[Any] = DistributedSampler(
            pictures, self.plan.processes, self.global_rank, seed=self.options.seed, drop_last=True
        )
        sampler.set_epoch(self.current_epoch)
        return DataLoader(
            pictures, self.plan.micro_batch, sampler=sampler, num_workers=self.options.workers
        )

    def val_dataloader(self) -> Any:
        """Read this process' share of the images to measure on, if there are any."""
        if self.val is None:
            return []
        pictures = Pictures(self.val, partial(to_pixels, spec=self.model.preprocessing))
        rows = range(self.global_rank, len(self.val), self.plan.processes)
        return DataLoader(pictures, 256, sampler=rows, num_workers=self.options.workers)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Return the mean loss of what a process computes at a time."""
        inputs, targets = encoders.normalize(batch[0], self.model), batch[1]
        if self.settings.mixup:
            draw(self.options.seed, self.current_epoch, index, self.global_rank)
            mix = v2.MixUp(alpha=self.settings.mixup, num_classes=len(self.images.classes))
            inputs, targets = mix(inputs, targets)
        scores = self.net.logits(inputs).float()
        loss = cross_entropy(scores, targets, label_smoothing=self.settings.label_smoothing)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True, sync_dist=True)
        return loss

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Shorten the gradient; TrainingError, in all processes, if it is no number."""
        norm = nn.utils.clip_grad_norm_(self.parameters(), self.settings.clip_norm or math.inf)
        if not torch.isfinite(norm):
            loss = float(self.trainer.callback_metrics["loss_step"])
            raise TrainingError(
                f"in update {self.global_step + 1:,} of {self.plan.steps:,} the loss was {loss:g} "
                f"and the gradient's length {float(norm):g}: use a lower learning rate, or "
                "precision fp32, in a recipe of your own; the state before it is kept."
            )

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Count the images that are recognised, in float32 as they will be later."""
        with torch.autocast(self.device.type, enabled=False):
            scores = self.net.logits(encoders.normalize(batch[0], self.model))
        right = (scores.argmax(1) == batch[1]).sum().float()
        self.log("right", right, on_epoch=True, reduce_fx="sum", sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Note the accuracy before the first update."""
        if self.trainer.sanity_checking:
            self._note(None)

    def on_train_epoch_end(self) -> None:
        """Note loss and accuracy, and keep the state."""
        self._note(float(self.trainer.callback_metrics["loss_epoch"]))
        writes = self.trainer.is_global_zero  # Lightning's own file is whole on its own disk alone
        with replaced(self.state) if writes else nullcontext(self.state) as path:
            self.trainer.save_checkpoint(path)

    def _note(self, loss: float | None) -> None:
        step, epoch = self.global_step, self.global_step // self.plan.epoch_steps
        right = self.trainer.callback_metrics.get("right")
        accuracy = float(right) / len(self.val) if self.val and right is not None else None
        self.curve.append({"step": step, "epoch": epoch, "loss": loss, "accuracy": accuracy})
        if self.global_rank == 0:
            losing = "" if loss is None else f", loss {loss:.4f}"
            score = "not measured" if accuracy is None else f"{accuracy:.4f}"
            print(f"epoch {epoch}, update {step}{losing}, accuracy {score}", flush=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the curve, and what the training is made from."""
        checkpoint |= {"curve": self.curve, "made_from": self.made_from}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the curve up again."""
        self.curve = checkpoint["curve"]

    def write(self) -> None:
        """Write the checkpoint and a description next to it."""
        labels = f"{self.images.name} labels".replace(TRAIN_SET, "ImageNet-1k")
        notes = {
            "architecture": self.architecture,
            "level": self.recipe.level,
            "classes": json.dumps(self.images.classes),
            "normalize": json.dumps(self.finetuned),
        }
        about = {
            "pretraining": self.model.pretraining if self.finetuned else labels,
            "made_from": self.made_from,
            "images": len(self.images),
            "curve": self.curve,
            "accuracy": self.curve[-1]["accuracy"],
            "measured_on": self.val and (self.val.what or self.val.name),
        }
        results.write(self.result, weights_of(self.net), notes, about)


def find_model(options: TrainOptions) -> Model:
    """Describe the model that is named; TrainingError if it is none of open_clip's."""
    model = checkpoints.find(options.model)
    if model.library != "open_clip":
        raise TrainingError(
            f"{options.model} is not a model of open_clip: name a CLIP model, such as rn50-openai."
        )
    return model


def devices(options: TrainOptions) -> tuple[str, int]:
    """Return the device, cpu or cuda, and the number of processes on this machine."""
    gpus = 0 if options.device == "cpu" else torch.cuda.device_count()
    cuda = gpus > 0 or options.device == "cuda"
    count = options.processes or max(1, gpus)
    if cuda and count > gpus:
        raise TrainingError(f"{gpus} GPUs are here for {count} processes: use fewer, or the CPU.")
    return "cuda" if cuda else "cpu", count


def _trainer(training: Training, begun: bool) -> Trainer:
    plan, nodes = training.plan, training.options.nodes
    return Trainer(
        accelerator=training.kind,
        devices=plan.processes // nodes,
        num_nodes=nodes,
        strategy="ddp" if plan.processes > 1 else "auto",
        precision="bf16-mixed" if training.settings.precision == "bf16" else "32-true",
        max_epochs=training.settings.epochs,
        accumulate_grad_batches=plan.accumulation,
        limit_train_batches=plan.epoch_steps * plan.accumulation,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0 if begun else -1,
        use_distributed_sampler=False,
        default_root_dir=training.state.parent,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )


def run(options: TrainOptions) -> Path | None:
    """Train, or go on, and return the checkpoint's path; None in all processes but the first.

    Raises a CompanionError in a sentence.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    training = Training(options)
    training.build()
    result, state = training.result, training.state
    if result.exists():
        results.check_same(result.with_suffix(".json"), training.made_from)
        return result
    begun = state.exists()
    if begun:
        results.check_same(state, training.made_from)
    trainer = _trainer(training, begun)
    try:
        trainer.fit(training, ckpt_path=state if begun else None, weights_only=True)
    except SystemExit as stop:  # how Lightning passes an interruption on
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except RuntimeError as error:
        if training.plan.processes == 1 or isinstance(error, CompanionError):
            raise
        raise TrainingError(  # one that failed makes the others fail
            f"a process stopped ({str(error).splitlines()[0]}): see what the first to stop says; "
            "once that is fixed, the same command continues from the last saved state."
        ) from None
    if not trainer.is_global_zero:
        return None
    training.write()
    state.unlink()
    return result


def describe(options: TrainOptions) -> str:
    """Describe what would be done and about how much it would cost, even without images."""
    recipe, model, here = recipes.load(options.recipe), find_model(options), ""
    net = networks.build(model.name, "open_clip", networks.source(model), outline=True)
    recipe.check_tower(type(net.visual).__name__)
    try:
        images = len(read_data(options)[0])
    except DatasetError as error:
        if options.data != TRAIN_SET:
            raise
        images, here = sets.descriptions()[TRAIN_SET].images, f"\nnot here: {error}"
    processes = options.nodes * devices(options)[1]
    made = recipes.plan(recipe.settings, images, processes, options.micro_batch)
    return recipe_tables.describe(recipe, model.name, model.architecture or "", made) + here
