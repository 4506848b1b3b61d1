"""How well the hints of the embedded model are told: where :data:`calotype.engine.hints.CLOSE` comes from.

    python benchmarks/hints.py

Prints each everyday word with the concept its text encoder puts closest, and which concepts' plurals it does not read.
"""

from __future__ import annotations

import time

import torch

from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine.hints import CLOSE
from calotype.engine.models import load

WORDS = """automobile kitten hamburger boat ship truck motorcycle train lamp sunset forest shark seagull eagle squirrel
snake horse sheep wolf zombie witch astronaut princess violin piano cheese taco sandwich flower daisy leaf flame tea cup
photo video street ocean planet santa palace sword pencil chair table book computer laptop phone mountain beach river
hill night wizard sushi knight philosophy justice monday beautiful cute big realistic samurai hat shoe shirt hand eye
duck goose spider ant hamster goat deer bird insect fruit vegetable soup bread egg beer wine pie candle lightning
rain snow wind tornado storm sky volcano island desert flag hammer knife bomb gun airship jet doll toy game music song
love peace death money gold coin ring necklace dress tractor bridge tower church school hospital xqzptv""".split()  # noqa: SIM905
PLURALS = {"mouse": "mice", "octopus": "octopuses", "snowman": "snowmen"}


def plural(name: str) -> str:
    """Of a concept's name; "" where it is one already or has none."""
    if name in PLURALS:
        return PLURALS[name]
    if name.endswith(("fish", "deer", "sheep", "bacon", "spaghetti")):
        return ""
    if name.endswith("s") and not name.endswith(("us", "ss")):  # grapes, sunglasses, scissors
        return ""
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "sh", "ch")) else f"{name}s"


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    model = load(inspect(EMBEDDED), torch.device("cpu"))
    hints, vocabulary = model.hints, model.info.vocabulary
    assert hints is not None and vocabulary is not None
    begun = time.perf_counter()
    found = sorted(((*hints.closest(word), word) for word in WORDS), key=lambda each: -each[1])
    each_ms = (time.perf_counter() - begun) / len(WORDS) * 1000
    for concept, cosine, word in found:
        print(f"{cosine:5.2f}  {word} > {concept}")
    close = sum(cosine >= CLOSE for _, cosine, _ in found)
    print(f"{close} of {len(found)} words have a concept at {CLOSE} or more; {each_ms:.1f} ms a word on one thread")
    plurals = {name: plural(name) for name, _ in vocabulary.concepts if plural(name)}
    unread = [text for name, text in plurals.items() if hints.closest(text)[0] != name]
    print(f"{len(unread)} of {len(plurals)} plurals are not read: {', '.join(unread)}")


if __name__ == "__main__":
    main()
