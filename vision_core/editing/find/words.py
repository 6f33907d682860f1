"""Parses requests for things: "the red car on the left", "two dogs", "people and bicycles"."""

import re
from dataclasses import dataclass
from functools import cache

from vision_core.editing.find.things import NAMES


def _table(text: str) -> dict[str, list[str]]:
    """Lines `name: word, word`, which may be continued on lines that begin with spaces."""
    rows = (row.partition(":") for row in re.split(r"\n(?! )", text.strip()))
    return {name: [" ".join(word.split()) for word in others.split(",")] for name, _, others in rows}


# synonyms of the objects; plurals are understood, too
OTHER_NAMES = _table("""
person: man, woman, boy, girl, child, kid, baby, toddler, human, guy, lady, gentleman, player, skier,
    snowboarder, surfer, skater, skateboarder, cyclist, biker, rider, driver, pedestrian, tourist,
    worker, bride, groom, dancer, swimmer, runner, friend, stranger, passer-by, somebody,
    someone, people, men, women, children, crowd, couple, family, folks
bicycle: bike, cycle, mountain bike, racing bike
car: automobile, auto, taxi, cab, sedan, suv, jeep, sports car, police car
motorcycle: motorbike, scooter, moped, vespa
airplane: aeroplane, plane, jet, aircraft, airliner, jumbo jet
bus: minibus, double decker
train: locomotive, tram, railway, subway, metro, streetcar
truck: lorry, pickup, van, pickup truck, fire engine, garbage truck, delivery van
boat: ship, sailboat, yacht, ferry, canoe, kayak, rowboat, motorboat, sailing boat, dinghy, gondola
traffic light: stoplight, stop light, traffic signal
fire hydrant: hydrant
stop sign: stopsign
bench: park bench
bird: seagull, gull, pigeon, dove, duck, goose, geese, swan, parrot, sparrow, crow, eagle, owl, chicken,
    hen, rooster, penguin
cat: kitten, kitty, pussycat, tomcat
dog: puppy, doggy, hound, terrier, labrador, poodle, bulldog, pug, beagle, dachshund, german shepherd
horse: pony, foal, stallion, mare
sheep: lamb, ewe
cow: cattle, bull, calf, ox, oxen
bear: polar bear, brown bear, grizzly, panda, bear cub
backpack: rucksack, knapsack, schoolbag
umbrella: parasol, sunshade
handbag: purse, bag, shoulder bag, shopping bag
tie: necktie, bow tie
suitcase: luggage, baggage, briefcase
frisbee: flying disc
skis: ski
sports ball: ball, football, soccer ball, basketball, tennis ball, volleyball, baseball
baseball glove: mitt, catcher's mitt
surfboard: surf board, bodyboard
skateboard: skate board, longboard
tennis racket: racket, racquet, tennis racquet
bottle: flask, wine bottle, beer bottle, water bottle
wine glass: glass, goblet, champagne glass
cup: mug, coffee cup, teacup, tea cup, beaker, tumbler, coffee mug
knife: knives
bowl: dish
orange: tangerine, mandarin, clementine
sandwich: burger, hamburger, cheeseburger, toastie, panini
hot dog: hotdog, frankfurter
donut: doughnut
cake: birthday cake, cupcake, tart, gateau
chair: armchair, stool, office chair, deck chair
couch: sofa, settee, loveseat
potted plant: houseplant, house plant, plant, flowerpot, pot plant
bed: mattress, bunk
dining table: table, kitchen table, coffee table, desk
toilet: lavatory, loo, toilet bowl
tv: television, tv set, monitor, screen, telly, computer screen
laptop: notebook computer, computer
mouse: computer mouse
remote: remote control, remote controller
cell phone: phone, mobile phone, mobile, smartphone, cellphone, telephone
microwave: microwave oven
oven: stove, cooker
sink: washbasin, basin, wash basin
refrigerator: fridge, freezer
book: novel, textbook
clock: alarm clock, wall clock, clock face
scissors: pair of scissors
teddy bear: teddy, plush bear, stuffed bear
hair drier: hairdryer, hair dryer, blow dryer, hairdrier
""")
# categories: the first and last of a range of `NAMES`, and further names
KINDS = _table("""
animal: bird, giraffe
pet: cat, dog
vehicle: bicycle, boat
fruit: banana, apple, orange
vegetable: broccoli, carrot
food: banana, cake
snack: sandwich, cake
furniture: chair, dining table
seat: chair, couch, bench
tableware: bottle, bowl
cutlery: fork, spoon
appliance: microwave, refrigerator
electronics: tv, cell phone
gadget: laptop, cell phone
sports equipment: frisbee, tennis racket
toy: frisbee, kite, teddy bear
thing: person, toothbrush
object: bicycle, toothbrush
everything: person, toothbrush
""")
COLORS = _table("""
red: red, crimson
orange: orange
yellow: yellow, golden, blonde
green: green
blue: blue, turquoise, cyan, navy
purple: purple, violet
pink: pink, magenta
brown: brown, beige
black: black
white: white
grey: grey, gray, silver
dark: dark
light: light, bright
""")
PLACES = _table("""
left: left, leftmost
right: right, rightmost
top: top, upper, topmost, highest, above
bottom: bottom, lower, lowest, below
middle: middle, center, centre, central
front: front, foreground, nearest, closest, near
back: back, background, farthest, furthest, far, distant, behind
""")
SIZES = _table("""
large: big, large, huge, bigger, larger, biggest, largest, tall, tallest
small: small, little, tiny, smaller, smallest, short, shortest
""")
IRREGULAR = {"mice": "mouse", "geese": "goose", "calves": "calf", "buses": "bus", "knives": "knife"}
NUMBERS = "one two three four five six seven eight nine ten".split()
ORDER = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
ONE = {"a", "an", "single", "another"}
EMPTY = set(
    "all every each any both the some many several on in at to from of with by my your his her their "
    "this that these those side corner hand part most very".split()
)
# words that may follow the name of an object and start its description
BEHIND = re.compile(
    r"\b(?:on|in|at|to|from|of|with|by|near|behind|under|over|next|who|which|that|wearing|holding|sitting|standing)\b"
)


@dataclass(frozen=True)
class Wanted:
    """A request for one kind of object.

    Args:
        word: the requested word in the singular; "" if it is unknown.
        names: the matching `NAMES`.
        color, places: from `COLORS` and `PLACES`; empty for any.
        size: 1 for the largest, -1 for the smallest, 0 for any.
        place_number: e.g. 2 for "the second from the left"; 0 if not mentioned.
        count: how many; None for all.
        ignored: words that were not understood.
    """

    word: str
    names: tuple[str, ...]
    color: str = ""
    places: tuple[str, ...] = ()
    size: int = 0
    place_number: int = 0
    count: int | None = None
    ignored: tuple[str, ...] = ()


@cache
def vocabulary() -> dict[str, tuple[str, ...]]:
    """Every word for an object, and the detector's names that it stands for."""
    table: dict[str, tuple[str, ...]] = {name: (name,) for name in NAMES}
    for name, others in OTHER_NAMES.items():
        table |= dict.fromkeys(others, (name,))
    for kind, (first, last, *more) in KINDS.items():
        table[kind] = (*NAMES[NAMES.index(first) : NAMES.index(last) + 1], *more)
    return table


@cache
def _meant(table: str) -> dict[str, str]:
    """The meaning of each word of `COLORS`, `PLACES` or `SIZES`."""
    rows = {"colors": COLORS, "places": PLACES, "sizes": SIZES}[table]
    return {word: name for name, words in rows.items() for word in words}


def parse(text: str) -> list[Wanted]:
    """Parse a text into the things it asks for; an unknown thing has no names."""
    parts = re.split(r",|;|&|\+|\band\b|\bor\b", text.lower())
    return [_parse_one(part) for part in parts if part.strip()]


def _parse_one(text: str) -> Wanted:
    first = re.search(r"\w+", text)
    behind = BEHIND.search(text, first.end()) if first else None
    head = _words(text[: behind.start()] if behind else text)
    rest = _words(text[behind.start() :] if behind else "")
    word, names, length = "", (), 0
    while head and not names:  # the head noun is last: an apple tree is not an apple
        for length in range(min(3, len(head)), 0, -1):
            if singular := _singular(" ".join(head[-length:])):
                word, names = singular, vocabulary()[singular]
                break
        else:
            if any(head[-1] in _meant(table) for table in ("colors", "places", "sizes")):  # "the car left"
                rest.append(head.pop())
                continue
            return Wanted("", (), ignored=(" ".join(head[-1:]),))
    if not names:
        return Wanted("", (), ignored=tuple(rest))
    modifiers = [*head[:-length], *rest]
    plural = word != " ".join(head[-length:])
    colors, places, sizes = (
        [_meant(table)[one] for one in modifiers if one in _meant(table)]
        for table in ("colors", "places", "sizes")
    )
    number = next((ORDER.index(one) + 1 for one in modifiers if one in ORDER), 0)
    count = next((_count(one) for one in modifiers if _count(one)), None)
    picked = bool(places or sizes or number)
    understood = {*_meant("colors"), *_meant("places"), *_meant("sizes"), *ORDER, *NUMBERS, *ONE, *EMPTY}
    return Wanted(
        word,
        names,
        colors[0] if colors else "",
        tuple(dict.fromkeys(places)),
        {"large": 1, "small": -1}[sizes[0]] if sizes else 0,
        number,
        1 if number else count or (1 if picked and not plural else None),
        tuple(one for one in modifiers if one not in understood and not one.isdecimal()),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[\w-]+", text.replace("'s", ""))


def _count(word: str) -> int | None:
    if word in ONE:
        return 1
    return NUMBERS.index(word) + 1 if word in NUMBERS else int(word[:3]) if word.isdecimal() else None


def _singular(word: str) -> str:
    """The known word of this form or of this plural; "" if there is none."""
    table = vocabulary()
    stem, _, last = word.rpartition(" ")
    last = IRREGULAR.get(last, last)
    for form in (last, last.removesuffix("s"), last.removesuffix("es"), last.removesuffix("ies") + "y"):
        if (candidate := f"{stem} {form}".strip()) in table:
            return candidate
    return ""
