"""Caption templates: English sentences and their German translations.

Slots are capital letters. `A`, `B` and `C` are objects; `AB` is the relation of A to B, `ABC` a relation of A to both B
and C. `+` marks an object that may take a relative clause ("a circle that is red"), because a verb or the end of the
sentence follows. German slots name the form: a case (`A.nom`, `A.acc`, `A.dat`), the relative pronoun (`A.which`
nominative, `A.whom` dative) or a second mention (`B.ref`, "the square", dative in German). Captions of several objects
always state a relation, because a mere list would be true of too many scenes. Words with the same `/number` translate
each other; `which/B` is aligned with B's pronoun.
"""

from typing import NamedTuple


class Template(NamedTuple):
    """A sentence in both languages; `requires` is the relation of A to B that its wording implies."""

    english: str
    german: str
    requires: str = ""


RELATION_WORDS = {
    "left": (
        ("left/1 of/2", "links/1 von/2"),
        ("to the left/1 of/2", "links/1 von/2"),
        ("on the left/1 of/2", "links/1 von/2"),
    ),
    "right": (
        ("right/1 of/2", "rechts/1 von/2"),
        ("to the right/1 of/2", "rechts/1 von/2"),
        ("on the right/1 of/2", "rechts/1 von/2"),
    ),
    "above": (("above/1", "über/1"), ("over/1", "über/1")),
    "below": (
        ("below/1", "unter/1"),
        ("under/1", "unter/1"),
        ("beneath/1", "unterhalb/1 von/1"),
        ("underneath/1", "unterhalb/1 von/1"),
    ),
}

ONE = (
    Template("A+ .", "A.nom+ ."),
    Template("there/1 is/2 A+ .", "es/1 gibt/2 A.acc+ ."),
    Template("the/1 picture/2 shows/3 A+ .", "das/1 Bild/2 zeigt/3 A.acc+ ."),
    Template("a/1 picture/2 of/3 A+ .", "ein/1 Bild/2 von/3 A.dat+ ."),
    Template("this/1 is/2 a/3 picture/4 of/5 A+ .", "das/1 ist/2 ein/3 Bild/4 von/5 A.dat+ ."),
    Template("here/1 is/2 A+ .", "hier/1 ist/2 A.nom+ ."),
    Template("we/1 see/2 A+ .", "wir/1 sehen/2 A.acc+ ."),
    Template("the/1 only/2 object/3 is/4 A+ .", "das/1 einzige/2 Objekt/3 ist/4 A.nom+ ."),
    Template("in/1 the/2 picture/3 there is/4 A+ .", "auf/1 dem/2 Bild/3 ist/4 A.nom+ ."),
    Template("A can/1 be seen/2 in/3 the/4 picture/5 .", "auf/3 dem/4 Bild/5 ist/1 A.nom zu/2 sehen/2 ."),
    Template("the/1 A.noun in/2 the/3 picture/4 is/5 A.state .", "A.noun auf/2 dem/3 Bild/4 ist/5 A.state ."),
)
TWO = (
    Template("A+ is/1 AB B+ .", "A.nom+ ist/1 AB B.dat+ ."),
    Template("there/1 is/2 A AB B+ .", "es/1 gibt/2 A.acc AB B.dat+ ."),
    Template("the/1 picture/2 shows/3 A AB B+ .", "das/1 Bild/2 zeigt/3 A.acc AB B.dat+ ."),
    Template("we/1 see/2 A AB B+ .", "wir/1 sehen/2 A.acc AB B.dat+ ."),
    Template("AB B+ is/1 A+ .", "AB B.dat+ ist/1 A.nom+ ."),
    Template("AB B there is/1 A+ .", "AB B.dat ist/1 A.nom+ ."),
    Template("A can/1 be seen/2 AB B .", "A.nom ist/1 AB B.dat zu/2 sehen/2 ."),
    Template(
        "on the left/1 is/2 A ,/3 on the right/4 is/5 B .", "links/1 ist/2 A.nom ,/3 rechts/4 ist/5 B.nom .", "left"
    ),
    Template(
        "at the top/1 is/2 A ,/3 at the bottom/4 is/5 B .", "oben/1 ist/2 A.nom ,/3 unten/4 ist/5 B.nom .", "above"
    ),
    Template(
        "the/1 picture/2 shows/3 A ,/4 which/A is/5 AB B .", "das/1 Bild/2 zeigt/3 A.acc ,/4 A.which AB B.dat ist/5 ."
    ),
    Template("there/1 is/2 B ,/3 AB which/B is/4 A .", "es/1 gibt/2 B.acc ,/3 AB B.whom A.nom ist/4 ."),
    Template("there/1 is/2 A ,/3 and/4 B+ is/5 BA A.ref .", "es/1 gibt/2 A.acc ,/3 und/4 B.nom+ ist/5 BA A.ref ."),
)
THREE = (
    Template("A+ is/1 AB B ,/2 which/B is/3 BC C .", "A.nom+ ist/1 AB B.dat ,/2 B.which BC C.dat ist/3 ."),
    Template("A ,/1 which/A is/2 AB B ,/3 is/4 AC C+ .", "A.nom ,/1 A.which AB B.dat ist/2 ,/3 ist/4 AC C.dat+ ."),
    Template("A+ is/1 AB B and/2 AC C .", "A.nom+ ist/1 AB B.dat und/2 AC C.dat ."),
    Template("A+ is/1 ABC B and/2 C .", "A.nom+ ist/1 ABC B.dat und/2 C.dat ."),
    Template("there/1 is/2 A AB B ,/3 which/B is/4 BC C .", "es/1 gibt/2 A.acc AB B.dat ,/3 B.which BC C.dat ist/4 ."),
    Template("A+ is/1 AB B ,/2 and/3 C+ is/4 CB B.ref .", "A.nom+ ist/1 AB B.dat ,/2 und/3 C.nom+ ist/4 CB B.ref ."),
    Template("A+ is/1 AB B ,/2 CB which/B is/3 C .", "A.nom+ ist/1 AB B.dat ,/2 CB B.whom C.nom ist/3 ."),
    Template("AB B is/1 A ,/2 and/3 C+ is/4 CA A.ref .", "AB B.dat ist/1 A.nom ,/2 und/3 C.nom+ ist/4 CA A.ref ."),
    Template(
        "the/1 picture/2 shows/3 A ,/4 which/A is/5 AB B ,/6 and/7 C .",
        "das/1 Bild/2 zeigt/3 A.acc ,/4 A.which AB B.dat ist/5 ,/6 und/7 C.acc .",
    ),
    Template("here/1 is/2 A AB B ,/3 which/B is/4 BC C .", "hier/1 ist/2 A.nom AB B.dat ,/3 B.which BC C.dat ist/4 ."),
)
TEMPLATES = {1: ONE, 2: TWO, 3: THREE}
