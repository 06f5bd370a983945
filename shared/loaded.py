"""A trained model in memory, whatever the task."""

from typing import Generic, NamedTuple, TypeVar

ConfigType = TypeVar("ConfigType")
VocabularyType = TypeVar("VocabularyType")
ModelType = TypeVar("ModelType")


class Loaded(NamedTuple, Generic[ConfigType, VocabularyType, ModelType]):
    """A trained model and what belongs to it, as the `load_model` of every task returns it."""

    config: ConfigType
    vocabulary: VocabularyType
    model: ModelType
