"""The public datasets, in the order of `realm dataset list`.

To add one: write a module beside this one that holds a `Dataset`, say in its docstring where the
data come from and what is in the files, and add one line here. Another package adds one by an entry
point of the group `realm.datasets` that names a `Dataset`, under the dataset's own name.
"""

from __future__ import annotations

from realm import extensions
from realm.datasets.ajile12 import AJILE12
from realm.datasets.bci4_fingers import BCI4_FINGERS
from realm.datasets.dataset import Dataset
from realm.datasets.flint_2012 import FLINT_2012
from realm.datasets.gallego_chowdhury import GALLEGO_CHOWDHURY
from realm.datasets.makin_sabes import MAKIN_SABES
from realm.datasets.rodents import RODENTS
from realm.datasets.stanford_fingers import STANFORD_FINGERS

DATASETS = {
    dataset.name: dataset
    for dataset in (
        MAKIN_SABES,
        FLINT_2012,
        GALLEGO_CHOWDHURY,
        AJILE12,
        BCI4_FINGERS,
        STANFORD_FINGERS,
        RODENTS,
    )
}


def all_datasets() -> list[Dataset]:
    """Every dataset, those of other packages last."""
    return [find_dataset(name) for name in extensions.names("datasets", DATASETS)]


def find_dataset(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    names = extensions.names("datasets", DATASETS)
    if name not in names:
        raise ValueError(
            f"{name}: expected one of the datasets {', '.join(names)}; see `realm dataset list`"
        )
    if name in DATASETS:
        return DATASETS[name]
    found = extensions.load("datasets", name)
    if not isinstance(found, Dataset):
        raise ValueError(
            f"{name}: expected the entry point of realm.datasets to name a Dataset, got {found!r}; "
            "correct or remove that package"
        )
    return found
