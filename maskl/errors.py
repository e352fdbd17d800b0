"""The errors and warnings of maskl; :mod:`maskl_storage.errors` draws the tree."""

from maskl_storage.errors import (
    ActiveRunWarning,
    ConversionWarning,
    CorruptData,
    InvalidType,
    InvalidValue,
    MasklError,
    MasklWarning,
    NotFound,
    NotSupported,
    QueryError,
    ServerOnlyWarning,
    SizeMismatchWarning,
    StateError,
    StatisticsWarning,
    StoreNotFound,
    UnsupportedVersion,
)

__all__ = [
    "ActiveRunWarning",
    "ConversionWarning",
    "CorruptData",
    "InvalidType",
    "InvalidValue",
    "MasklError",
    "MasklWarning",
    "NotFound",
    "NotSupported",
    "QueryError",
    "ServerOnlyWarning",
    "SizeMismatchWarning",
    "StateError",
    "StatisticsWarning",
    "StoreNotFound",
    "UnsupportedVersion",
]
