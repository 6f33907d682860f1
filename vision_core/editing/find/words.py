"""Which ImageNet classes a word means: their own names, what those end with, and everyday words."""

from functools import cache

# everyday words, as ranges (first, last) of class numbers and single classes
_GROUPS: dict[str, tuple[tuple[int, int] | int, ...]] = {
    "animal": ((0, 397),),
    "dog": ((151, 268),),
    "puppy": ((151, 268),),
    "cat": ((281, 285),),
    "kitten": ((281, 285),),
    "bird": ((7, 24), (80, 100), (127, 146)),
    "duck": ((97, 99),),
    "fish": ((0, 6), (389, 397)),
    "shark": ((2, 4),),
    "snake": ((52, 68),),
    "lizard": ((38, 48),),
    "turtle": ((33, 37),),
    "frog": ((30, 32),),
    "spider": ((72, 77),),
    "insect": ((300, 326),),
    "beetle": ((300, 307),),
    "butterfly": ((321, 326),),
    "crab": ((118, 121),),
    "bear": ((294, 297),),
    "wolf": ((269, 271),),
    "fox": ((277, 280),),
    "rabbit": ((330, 332),),
    "horse": (339, 603),
    "pig": ((341, 343),),
    "cow": (345, 346, 690),
    "bull": (345, 346, 347),
    "sheep": (348, 349),
    "goat": ((348, 350),),
    "deer": ((351, 353),),
    "camel": (354,),
    "elephant": (385, 386, 101),
    "monkey": ((369, 384),),
    "ape": ((365, 369),),
    "panda": (387, 388),
    "airplane": (404, 726, 895, 908),
    "aeroplane": (404, 726, 895, 908),
    "boat": (472, 484, 554, 576, 625, 724, 780, 814, 871, 914),
    "ship": (403, 510, 628, 724, 780, 871, 914),
    "sailboat": (484, 780, 871, 914),
    "car": (407, 436, 468, 511, 609, 627, 656, 661, 751, 817),
    "taxi": (468,),
    "truck": (555, 569, 675, 717, 864, 867),
    "bus": (654, 779, 874),
    "train": (466, 547, 565, 705, 820),
    "tram": (829, 874),
    "motorcycle": (665, 670),
    "motorbike": (665, 670),
    "scooter": (665, 670),
    "bicycle": (444, 671, 870, 880),
    "bike": (444, 671, 870, 880),
    "wheel": (479, 694),
    "chair": (423, 559, 765, 831),
    "sofa": (831,),
    "couch": (831,),
    "bed": (520, 564, 431),
    "table": (526, 532, 736),
    "desk": (526,),
    "bench": (703,),
    "lamp": (619, 846),
    "clock": (409, 530, 892),
    "watch": (531, 826),
    "bottle": (440, 720, 737, 898, 907, 901),
    "cup": (504, 968, 647),
    "mug": (504,),
    "glass": (441, 572),
    "wine glass": (572, 966),
    "bowl": (659, 809),
    "vase": (883,),
    "potted plant": (738, 580),
    "plant": (738, 985, 986),
    "flower": (985, 986),
    "fork": (910, 923),
    "spoon": (910, 618),
    "knife": (499, 623),
    "tv": (664, 851, 782),
    "television": (664, 851),
    "screen": (664, 782, 851),
    "computer": (527, 620, 664, 508, 681),
    "laptop": (620, 681),
    "keyboard": (508, 878, 810),
    "mouse": (673,),
    "phone": (487, 528, 707),
    "cell phone": (487,),
    "camera": (732, 759),
    "book": (921, 917),
    "suitcase": (492, 519, 636),
    "handbag": (636, 748, 728),
    "bag": (414, 636, 728, 748),
    "toilet": (861,),
    "sink": (896,),
    "oven": (544, 827, 766),
    "microwave": (651,),
    "tennis racket": (752,),
    "sports ball": (429, 430, 574, 722, 768, 805, 852, 890),
    "ball": (429, 430, 574, 722, 768, 805, 852, 890),
    "baseball bat": (981,),
    "baseball glove": (981, 429),
    "skis": (795,),
    "kite": (701,),
    "donut": (931,),
    "cake": (927,),
    "sandwich": (933, 934, 931),
    "burger": (933,),
    "bread": (930, 931),
    "apple": (948,),
    "fruit": ((948, 957),),
    "vegetable": ((936, 947),),
    "stop sign": (919,),
    "sign": (919,),
    "tie": (457, 906, 451),
    "shoe": (502, 514, 630, 770, 774),
    "hat": (452, 515, 808),
    "house": (425, 449, 660, 698, 858),
    "building": (442, 483, 497, 498, 663, 668, 698, 832, 884),
    "tower": (437, 442, 900),
    "bridge": (821, 839, 888),
    "mountain": (970, 980, 979),
    "beach": (977, 978),
    "lake": (975,),
    "castle": (483, 698),
    "fence": (489, 716, 912),
    "balloon": (417,),
    "umbrella": (879,),
    "person": (),
    "scissors": (),
    "carrot": (),
}


@cache
def names() -> tuple[str, ...]:
    """The names of the thousand classes, in their order."""
    from vision_core import torchvision_cpu

    torchvision_cpu.prepare()
    from torchvision.models import MobileNet_V2_Weights

    return tuple(MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def known() -> dict[str, tuple[int, ...]]:
    """Every word that is understood, and the classes it means."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names()):
        words = name.lower().split()
        for start in range(len(words)):  # "brown bear" is found as such and as "bear"
            found.setdefault(" ".join(words[start:]), []).append(number)
    for word, parts in _GROUPS.items():
        numbers = [
            n for part in parts for n in (range(part[0], part[1] + 1) if isinstance(part, tuple) else [part])
        ]
        found[word] = numbers
    return {word: tuple(numbers) for word, numbers in found.items() if numbers}


def classes(text: str) -> tuple[str, tuple[int, ...]]:
    """The longest known word of a text, a plural too, and its classes: ("", ()) where there is none."""
    words = "".join(c if c.isalnum() or c in "-'" else " " for c in text.lower()).split()
    table = known()
    for length in range(min(len(words), 5), 0, -1):
        for start in reversed(range(len(words) - length + 1)):
            word = " ".join(words[start : start + length])
            for form in (
                word,
                word.removesuffix("s"),
                word.removesuffix("es"),
                word.removesuffix("ies") + "y",
            ):
                if form in table:
                    return form, table[form]
    return "", ()
