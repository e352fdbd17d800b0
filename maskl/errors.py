"""The errors and warnings of maskl; :mod:`maskl_storage.errors` draws the tree."""

from maskl_storage.errors import (
    ConversionWarning,
    CorruptData,
    InvalidType,
    InvalidValue,
    MasklError,
    MasklWarning,
    NotFound,
    QueryError,
    SizeMismatchWarning,
    StateError,
    StatisticsWarning,
    StoreNotFound,
    UnsupportedVersion,
)

__all__ = [
    "ConversionWarning",
    "CorruptData",
    "InvalidType",
    "InvalidValue",
    "MasklError",
    "MasklWarning",
    "NotFound",
    "QueryError",
    "SizeMismatchWarning",
    "StateError",
    "StatisticsWarning",
    "StoreNotFound",
    "UnsupportedVersion",
]
