"""`baseline`: the base model under the task's own prompt; the program is a header."""

from sah_jax.programs import base as family_lib
from sah_jax.programs import prompt


class Baseline:
    """Nothing is fitted and nothing is added."""

    name = "baseline"
    reads_examples = False
    Setting = prompt.NoSetting

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> None:
        """See `Family.fit`."""

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        return family_lib.Adapted({}, portable=True, unchanged=True)

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        return family_lib.Adapted({}, portable=True, unchanged=True)

    def accounts(self, setting, theta, base) -> family_lib.Accounts:
        """See `Family.accounts`."""
        return family_lib.Accounts()
