"""Class sets: the ids, names and colours that a mask's pixels stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from maskl.adapters.objects import as_scalar
from maskl.annotations._keys import warn_of_unknown
from maskl_storage.errors import DuplicateNameWarning, InvalidType, InvalidValue, warn
from maskl_storage.format.metadata import COLOR, INT32, ClassItem, ClassSet, class_name
from maskl_storage.format.names import check_text

__all__ = ["ClassIdType", "Classes", "Labels", "class_id", "join_class_set", "parse_labels", "told_apart"]

#: ids and names, in the order given
Labels = tuple[tuple[int, str], ...]

FIELDS = ("id", "name", "color", "ignore", "isthing")


class Classes:
    """A set of classes.

    Parameters
    ----------
    class_set : sequence of dict
        One item a class: ``id`` (an integer within signed 32 bits), ``name`` (a string), and
        optionally ``color`` (``"#rrggbb"``), ``ignore`` (True for a class that metrics leave out) and ``isthing``
        (whether it has objects that can be counted: a car is a thing, the sky is stuff).

    Raises
    ------
    InvalidType
        Not a sequence of dicts, or a name that is not a string.
    InvalidValue
        An id that occurs twice or is out of range, a colour of another form.

    Warns
    -----
    DuplicateNameWarning
        Two ids have one name: all but the lowest have their id behind it, as ``car (7)``, since scores join classes by
        their names.

    Examples
    --------
    >>> labels = Classes([{"id": 0, "name": "road"}, {"id": 255, "name": "void", "ignore": True}])
    >>> labels.names
    {0: 'road', 255: 'void'}
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, class_set: Sequence[Mapping[str, Any]]) -> None:
        if isinstance(class_set, str | bytes | Mapping) or not isinstance(class_set, Sequence):
            raise InvalidType(
                f"Classes need a list of dicts like {{'id': 0, 'name': 'road'}}; got {type(class_set).__name__}"
            )
        items = tuple(_item(item, index) for index, item in enumerate(class_set))
        seen: dict[int, str | None] = {}
        for item in items:
            if item.id in seen:
                raise InvalidValue(f"class id {item.id} occurs twice: {seen[item.id]!r} and {item.name!r}")
            seen[item.id] = item.name
        names, said = _own_names(items, frozenset())
        if said:
            warn(said, DuplicateNameWarning)
        self._items = tuple(replace(item, name=names.get(item.id, item.name)) for item in items) if names else items
        self._hash = hash(self._items)

    @property
    def items(self) -> tuple[ClassItem, ...]:
        """The classes, in the order given."""
        return self._items

    @property
    def names(self) -> dict[int, str]:
        """The name of each class id."""
        return {item.id: item.name for item in self._items if item.name is not None}

    def get_type(self) -> ClassIdType:
        """Return the type of a table's column that holds ids of these classes, for ``Table.cast``."""
        return ClassIdType(self)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[ClassItem]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Classes) and self._items == other._items

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Classes({[item.to_json() for item in self._items]})"


@dataclass(frozen=True, slots=True)
class ClassIdType:
    """The type of a table's column whose integers are ids of some classes; see :meth:`Classes.get_type`."""

    classes: Classes


def _item(item: object, index: int) -> ClassItem:
    if not isinstance(item, Mapping):
        raise InvalidType(f"class {index} must be a dict like {{'id': 0, 'name': 'road'}}; got {item!r:.60}")
    missing = [key for key in ("id", "name") if key not in item]
    if missing:
        raise InvalidValue(
            f"class {index} lacks {missing[0]!r}; a class has id, name and perhaps color, ignore, "
            f"isthing: {dict(item)!r:.80}"
        )
    warn_of_unknown(f"class {index} has", item, FIELDS)
    color, ignore = item.get("color"), item.get("ignore", False)
    if not isinstance(item["name"], str):
        raise InvalidType(f"the name of class {item['id']!r} must be a string; got {item['name']!r:.60}")
    if color is not None and (not isinstance(color, str) or not COLOR.fullmatch(color)):
        raise InvalidValue(f"the color of class {item['id']!r} must look like '#4080ff'; got {color!r:.60}")
    if not isinstance(ignore, bool):
        raise InvalidType(f"ignore of class {item['id']!r} must be True or False; got {ignore!r:.60}")
    thing = item.get("isthing")
    if thing is not None and not isinstance(thing, bool) and thing not in (0, 1):  # numbers in COCO's files
        raise InvalidType(f"isthing of class {item['id']!r} must be True or False; got {thing!r:.60}")
    name = check_text(item["name"], f"the name of class {item['id']!r}")
    return ClassItem(class_id(item["id"], "class id"), name, color, ignore, None if thing is None else bool(thing))


def parse_labels(labels: object) -> Labels:
    """Return the ids and names of ``class_labels``, or raise as W&B does."""
    if not isinstance(labels, Mapping):
        raise InvalidType(f"Class labels must be a dictionary of numbers to strings; got {type(labels).__name__}")
    items = tuple(labels.items())
    for key, name in items:
        if not isinstance(name, str):
            raise InvalidType(f"Class labels must be a dictionary of numbers to strings; got {key!r}: {name!r:.60}")
    # the types too, since True == 1 and 1.0 == 1
    parsed, said = _parse_labels(items, tuple(map(type, labels)))
    if said:
        warn(said, DuplicateNameWarning)
    return parsed


@lru_cache(maxsize=256)
def _parse_labels(items: Labels, types: tuple[type, ...]) -> tuple[Labels, str]:
    parsed: dict[int, str] = {}
    for key, name in items:
        number = class_id(key, "Class labels must be a dictionary of numbers to strings; the key")
        if number in parsed:
            raise InvalidValue(f"class id {number} occurs twice in class_labels: {parsed[number]!r} and {name!r}")
        parsed[number] = check_text(name, f"the name of class {number}")
    names, said = _own_names(tuple(ClassItem(*item) for item in parsed.items()), frozenset())
    return tuple((parsed | names).items()), said


def join_class_set(
    own: Labels | None,
    ignored: frozenset[int],
    classes: Classes | None,
    others: tuple[Labels, ...],
    unnamed: frozenset[int],
) -> ClassSet:
    """Return the class set of a mask, the same object for the same arguments.

    Parameters
    ----------
    own : Labels or None
        The mask's own labels. Where there are none, the first source that follows declares its classes.
    ignored : frozenset of int
        The mask's own ignored ids.
    classes : Classes or None
        The image's classes; their colours, ignored ids and things hold for every mask.
    others : tuple of Labels
        The labels of other masks of the image.
    unnamed : frozenset of int
        Ids that are present and that ``own`` does not name: they take the first name that follows.
    """
    return told_apart(_joined(own, ignored, classes, others, unnamed), unnamed)


def told_apart(class_set: ClassSet, present: frozenset[int]) -> ClassSet:
    """Return a class set in which no two ids have one name: each but the lowest has its id behind the name.

    Scores join the classes of masks by their names, and count ids. Where two ids had one name, a prediction of
    one would be right where the other is.

    Parameters
    ----------
    class_set : ClassSet
        The classes; the same object is returned where nothing is to be done.
    present : frozenset of int
        Ids that occur; those that are not in the set are called ``class_<id>``, which may be another's name.

    Warns
    -----
    DuplicateNameWarning
        Some ids had one name.
    """
    found, said = _told_apart(class_set, present)
    if said:
        warn(said, DuplicateNameWarning)
    return found


@lru_cache(maxsize=1024)
def _told_apart(class_set: ClassSet, present: frozenset[int]) -> tuple[ClassSet, str]:
    """Return the class set, the same object for the same arguments, and what is to be said of it."""
    names, said = _own_names(class_set, present)
    return (_with_names(class_set, names) if names else class_set), said


def _own_names(items: tuple[ClassItem, ...], present: frozenset[int]) -> tuple[dict[int, str], str]:
    """Return new names of the ids whose name is another's, and what is to be said of them."""
    names = {number: class_name(None, number) for number in present}
    names.update((item.id, class_name(item, item.id)) for item in items)
    if len(set(names.values())) == len(names):
        return {}, ""
    taken, held, made, said = set(names.values()), dict[str, int](), dict[int, str](), ""
    for number in sorted(names):
        old = name = names[number]
        if old in held:
            while name in taken:
                name = f"{name} ({number})"
            said = said or (
                f"class ids {held[old]} and {number} have one name, {old!r:.60}; scores count ids, so {number} is "
                f"stored as {name!r:.60}: give each id a name of its own, or, where they are one class, give their "
                f"pixels one id, or query with class_map={{{name!r:.60}: {old!r:.60}}}"
            )
            made[number] = name
        held[name] = number
        taken.add(name)
    return made, said


def _with_names(class_set: ClassSet, names: Mapping[int, str]) -> ClassSet:
    """Return a class set with other names for some ids, which need not be in it yet."""
    items = {item.id: item for item in class_set}
    items.update((number, replace(items.get(number, ClassItem(number)), name=name)) for number, name in names.items())
    return ClassSet(items[number] for number in sorted(items))


@lru_cache(maxsize=1024)
def _joined(
    own: Labels | None,
    ignored: frozenset[int],
    classes: Classes | None,
    others: tuple[Labels, ...],
    unnamed: frozenset[int],
) -> ClassSet:
    image = {item.id: item for item in classes.items} if classes is not None else {}
    named = classes.names if classes is not None else {}
    sources = [source for source in (dict(own or ()), named, *map(dict, others)) if source]
    names = dict(sources[0]) if sources else {}
    for source in sources[1:]:
        names.update({key: name for key, name in source.items() if key in unnamed and key not in names})
    items = []
    for key in sorted(names.keys() | ignored):
        known = image.get(key)
        if known is not None and known.name not in (None, names.get(key, known.name)):
            known = None  # another class that happens to have this id
        ignore = key in ignored or (known is not None and known.ignore)
        color, thing = (None, None) if known is None else (known.color, known.isthing)
        items.append(ClassItem(key, names.get(key), color, ignore, thing))
    return ClassSet(items)


def class_id(value: Any, what: str) -> int:
    """Return a class id as an int: any integer or whole float within signed 32 bits."""
    value = as_scalar(value)
    if isinstance(value, bool | str | bytes):
        raise InvalidType(f"{what} must be an integer; got {value!r}")
    try:
        number: int = int(value)
        whole = bool(number == value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidType(f"{what} must be an integer; got {value!r:.60}") from error
    if not whole:
        raise InvalidType(f"{what} must be an integer; got {value!r}")
    if not INT32[0] <= number <= INT32[1]:
        raise InvalidValue(f"{what} must be within signed 32 bits; got {number}")
    return number
