"""The public datasets, in the order of `realm dataset list`.

To add one: write a module beside this one that holds a `Dataset`, say in its docstring where the
data come from and what is in the files, and add one line here.
"""

from __future__ import annotations

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


def find_dataset(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in DATASETS:
        raise ValueError(
            f"{name}: expected one of the datasets {', '.join(DATASETS)}; see `realm dataset list`"
        )
    return DATASETS[name]
