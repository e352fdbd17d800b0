"""The errors and warnings of maskl; :mod:`maskl_storage.errors` draws the tree."""

from maskl_storage.errors import (
    ClassMapWarning,
    ConversionWarning,
    CorruptData,
    InvalidType,
    InvalidValue,
    MasklError,
    MasklWarning,
    NotFound,
    QueryError,
    QueryTimeout,
    ServerOnlyWarning,
    SizeMismatchWarning,
    StateError,
    StatisticsWarning,
    StoreNotFound,
    UnsupportedVersion,
)

__all__ = [
    "ClassMapWarning",
    "ConversionWarning",
    "CorruptData",
    "InvalidType",
    "InvalidValue",
    "MasklError",
    "MasklWarning",
    "NotFound",
    "QueryError",
    "QueryTimeout",
    "ServerOnlyWarning",
    "SizeMismatchWarning",
    "StateError",
    "StatisticsWarning",
    "StoreNotFound",
    "UnsupportedVersion",
]
