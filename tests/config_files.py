"""The config files of the repository."""

import importlib.util
import pathlib

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def load(path: pathlib.Path, *arguments: str) -> dict:
    """Returns what a config file gives for the text after its name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*arguments).to_dict()
