"""One step of training: the loss, its gradient, the optimiser; on a GPU also as CUDA graphs."""

from __future__ import annotations

import math

import numpy as np

from tinymed import cuda
from tinymed.autograd import no_grad
from tinymed.nn.module import Module
from tinymed.nn.utils import clip_grad_norm_
from tinymed.optim import Optimizer
from tinymed.optim.lr_scheduler import OneCycleLR
from tinymed.tensor import Tensor
from tinymed.training.objective import Objective


class Step:
    """One step of the optimiser, which can be undone: the weights before it are kept."""

    def __init__(
        self,
        model: Module,
        objective: Objective,
        optimizer: Optimizer,
        weights: np.ndarray | None,
        scheduler: OneCycleLR | None,
        clip_grad_norm: float | None,
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.weights, self.scheduler, self.clip_grad_norm = weights, scheduler, clip_grad_norm
        self.held = [*model.parameters(), *model.buffers()]
        self.before = [t.array.copy() for t in self.held]

    def begin(self) -> None:
        """An epoch begins: layers may have been frozen, or thawed."""

    def __call__(self, x: Tensor, y: Tensor, where: str) -> tuple[float, np.ndarray, np.ndarray]:
        """The loss, the outputs and the labels of a batch, after one step down its gradient."""
        output = self.model(x)
        target, weight, labels = self.wanted(output, y)
        value = self.checked(self.gradients(output, target, weight), where)
        self.advance()
        if self.scheduler is not None:
            self.scheduler.step()
        return value, output.cpu().array, labels

    def wanted(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None, np.ndarray]:
        """What the output should be, what each sample counts, and the labels."""
        target = self.objective.target(output, y).cpu()
        labels, weight = self.objective.labels(target.array), None
        if self.weights is not None:
            target, weight = self.objective.weighted(target, self.weights)
            weight = weight.to(output.dtype).to(output.device)
        return target.to(output.device), weight, labels

    def gradients(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """The loss, its gradient left in every parameter."""
        loss = self.objective(output, target, weight)
        self.optimizer.zero_grad()
        loss.backward()
        return loss

    def advance(self) -> None:
        for copy, t in zip(self.before, self.held):
            np.copyto(copy, t.array)
        if self.clip_grad_norm is not None:  # of what the optimiser moves: other gradients are never cleared
            groups = self.optimizer.param_groups
            clip_grad_norm_([p for group in groups for p in group["params"]], self.clip_grad_norm)
        self.optimizer.step()

    def checked(self, loss: Tensor, where: str) -> float:
        value = float(loss.item())
        if not math.isfinite(value):
            self.undo(f"the loss became {value} in {where}")
        return value

    def check(self, epoch: int) -> None:
        """Refuse weights that the epoch's last step, which no loss has seen, has broken."""
        if not all(np.isfinite(p.array).all() for p in self.model.parameters()):
            self.undo(f"the last step of epoch {epoch} made weights NaN or infinite")

    def undo(self, what: str) -> None:
        with no_grad():
            for copy, t in zip(self.before, self.held):
                t.copy_(Tensor(copy))
        rates = ", ".join(f"{group['lr']:g}" for group in self.optimizer.param_groups)
        raise FloatingPointError(
            f"{what}; the model has the weights from before the last step again. Lower the learning rate "
            f"(now {rates}), clip gradients, or scale the inputs"
        )


class CapturedStep(Step):
    """The same as two CUDA graphs, the gradients and the update: between them the loss is looked at.

    The first batch is computed as ever, then both are recorded. Later batches of its shape are copied to its place;
    one of another shape, as an epoch's last may be, is computed as ever too. Where layers were frozen or thawed, it is
    recorded anew.
    """

    inputs: tuple[Tensor, ...] = ()
    modes: tuple[list[bool], list[bool]] = [], []

    def begin(self) -> None:
        before, parameters = self.modes, self.model.parameters()
        self.modes = [p.requires_grad for p in parameters], [module.training for module in self.model.modules()]
        if self.modes != before:
            self.inputs = ()

    def __call__(self, x: Tensor, y: Tensor, where: str) -> tuple[float, np.ndarray, np.ndarray]:
        if not self.inputs:
            done = super().__call__(x, y, where)
            self.record(x, *self.wanted(Tensor(done[1]).to(x.device), y)[:2])
            return done
        if x.shape != self.inputs[0].shape:
            return super().__call__(x, y, where)
        target, weight, labels = self.wanted(self.output, y)
        if (target.shape, target.dtype) != (self.inputs[1].shape, self.inputs[1].dtype):  # classes after soft labels
            return super().__call__(x, y, where)
        for place, new in zip(self.inputs, (x, target, weight)):
            if new is not None:
                place.copy_(new)
        self.to_gradients.replay()
        value = self.checked(self.loss, where)
        self.to_weights.replay()
        if self.scheduler is not None:
            self.scheduler.step()
        return value, self.output.cpu().array, labels

    def record(self, x: Tensor, target: Tensor, weight: Tensor | None) -> None:
        x, target = x.clone(), target.clone()  # later batches are written over them
        self.inputs = (x, target) if weight is None else (x, target, weight)
        self.to_gradients, self.to_weights = cuda.CUDAGraph(), cuda.CUDAGraph()
        with cuda.graph(self.to_gradients):
            self.output = self.model(x)
            self.loss = self.gradients(self.output, target, weight)
        with cuda.graph(self.to_weights):
            self.advance()
