"""Checkpoints of a fit: θ, the optimizer's state and the data position; never the base weights.

Orbax writes them in the background, atomically. What is restored lies where the state that it
replaces lies, so a fit goes on under another mesh or number of devices: bit for bit the same on
as many devices, otherwise to float32 rounding.
"""

import dataclasses
import pathlib
import shutil
from typing import Any

import jax

from sah_jax import errors

_KEPT = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where and how often to save.

    Attributes:
      folder: of this fit alone.
      every: steps between checkpoints.
    """

    folder: pathlib.Path
    every: int

    def remove(self) -> None:
        """Removes the checkpoints of a fit that is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Checkpoints:
    """The checkpoints of one running fit; a context manager that waits for what is being written.

    Raises:
      UserError: the folder cannot be used.
    """

    def __init__(self, plan: Plan):
        # Only here: the import takes seconds, and most processes save nothing.
        import orbax.checkpoint as ocp

        self._ocp, self._plan = ocp, plan
        options = ocp.CheckpointManagerOptions(
            save_interval_steps=plan.every, max_to_keep=_KEPT, enable_async_checkpointing=True)
        try:
            self._manager = ocp.CheckpointManager(plan.folder.resolve(), options=options)
        except OSError as error:
            raise errors.UserError(
                f"{plan.folder}: cannot hold checkpoints ({error.strerror}); choose another workdir."
            ) from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    def restore(self, state: Any) -> tuple[Any, int]:
        """Returns the latest state saved and how many batches it has seen; (state, 0) where there is none.

        Args:
          state: a state of the same fit; says structure, shapes and where arrays are to lie.

        Raises:
          UserError: what was saved is of another fit, or damaged.
        """
        latest = self._manager.latest_step()
        if latest is None:
            return state, 0
        args = self._ocp.args
        abstract = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, state)
        try:
            found = self._manager.restore(latest, args=args.Composite(
                state=args.StandardRestore(abstract), data=args.JsonRestore()))
            return found.state, int(found.data["position"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise errors.UserError(
                f"{self._plan.folder}: step {latest} cannot be restored "
                f"({' '.join(str(error).split())[:200]}), expected a checkpoint of this fit; "
                "remove the folder.") from error

    def save(self, position: int, state: Any) -> None:
        """Saves the state after so many batches, if it is time to; the state may then be donated."""
        if position % self._plan.every:
            return
        args = self._ocp.args
        self._manager.save(position, args=args.Composite(
            state=args.StandardSave(state), data=args.JsonSave({"position": position})))
