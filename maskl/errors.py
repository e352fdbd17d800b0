"""The errors and warnings of maskl; :mod:`maskl_storage.errors` draws the tree."""

from maskl_storage.errors import (
    ConversionWarning,
    CorruptData,
    DuplicateKeyWarning,
    InvalidType,
    InvalidValue,
    LogModeWarning,
    MasklError,
    MasklWarning,
    MissingExtra,
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
    "DuplicateKeyWarning",
    "InvalidType",
    "InvalidValue",
    "LogModeWarning",
    "MasklError",
    "MasklWarning",
    "MissingExtra",
    "NotFound",
    "QueryError",
    "SizeMismatchWarning",
    "StateError",
    "StatisticsWarning",
    "StoreNotFound",
    "UnsupportedVersion",
]
