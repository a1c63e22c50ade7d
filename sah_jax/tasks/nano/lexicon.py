"""The words of the nano world's English and French, with what agreement needs to know of them."""

from __future__ import annotations

from typing import NamedTuple


class Noun(NamedTuple):
    """A noun in both languages; `feminine` is its gender in French."""

    one: str
    many: str
    french: str
    french_many: str
    feminine: bool


class Adjective(NamedTuple):
    """An adjective in both languages.

    Attributes:
        english: It never changes.
        masculine: French, before or after a noun that begins with a consonant.
        feminine: French.
        masculine_many: French.
        before_vowel: The masculine before a vowel.
        precedes: Whether it stands before its noun in French.
    """

    english: str
    masculine: str
    feminine: str
    masculine_many: str
    before_vowel: str
    precedes: bool

    def french(self, feminine: bool, many: bool) -> str:
        """Returns the form that agrees, as a predicate or after a noun."""
        if many:
            return _french_plural(self.feminine) if feminine else self.masculine_many
        return self.feminine if feminine else self.masculine


class Verb(NamedTuple):
    """A verb in both languages.

    Attributes:
        english: Without an ending.
        he: English with "he", "she" or a noun.
        french: With je, tu, il, nous and ils, in this order.
        infinitive: French.
    """

    english: str
    he: str
    french: tuple[str, str, str, str, str]
    infinitive: str


class Determiner(NamedTuple):
    """A determiner: English singular and plural; French m., f., both before a vowel, plural."""

    one: str
    many: str
    masculine: str
    feminine: str
    masculine_vowel: str
    feminine_vowel: str
    plural: str


def begins_with_vowel(word: str) -> bool:
    """Tells whether French elides before a word; no h of this lexicon is aspirated."""
    return word[0].lower() in "aeiouhâàéèêîïôûœ"


def _english_plural(word: str) -> str:
    """Returns a noun's plural, or a verb's form with "he": the rule is the same."""
    if word.endswith(("s", "x", "ch", "sh", "o")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _french_plural(word: str) -> str:
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith("eau"):
        return word + "x"
    return word[:-2] + "aux" if word.endswith("al") else word + "s"


def _nouns(text: str) -> tuple[Noun, ...]:
    """Reads "cat chat m, mouse/mice souris f, ...": a second English form is the plural."""
    nouns = []
    for entry in text.split(","):
        english, french, gender = entry.split()
        one, _, many = english.partition("/")
        nouns.append(
            Noun(one, many or _english_plural(one), french, _french_plural(french), gender == "f")
        )
    return tuple(nouns)


def _adjectives(text: str, precedes: bool) -> tuple[Adjective, ...]:
    """Reads "red rouge, green vert verte, old vieux vieille vieil, ..."."""
    adjectives = []
    for entry in text.split(","):
        english, masculine, *others = entry.split()
        feminine = others[0] if others else masculine
        before_vowel = others[1] if len(others) > 1 else masculine
        adjectives.append(
            Adjective(
                english, masculine, feminine, _french_plural(masculine), before_vowel, precedes
            )
        )
    return tuple(adjectives)


def _verbs(text: str) -> tuple[Verb, ...]:
    """Reads "sing chanter, see voir vois vois voit voyons voient, look_at regarder, ..."."""
    verbs = []
    for entry in text.split(","):
        english, infinitive, *forms = entry.split()
        first, *rest = english.split("_")
        if not forms:
            stem = infinitive[:-2]
            soft = stem + "e" if stem.endswith("g") else stem
            forms = [stem + "e", stem + "es", stem + "e", soft + "ons", stem + "ent"]
        verbs.append(
            Verb(
                " ".join((first, *rest)), " ".join((_english_plural(first), *rest)),
                tuple(forms), infinitive,
            )
        )  # fmt: skip
    return tuple(verbs)


ANIMALS = _nouns(
    "cat chat m, dog chien m, bird oiseau m, horse cheval m, cow vache f, fish/fish poisson m,"
    "mouse/mice souris f, rabbit lapin m, hen poule f, bee abeille f, wolf/wolves loup m,"
    "fox renard m, frog grenouille f, duck canard m, goat chèvre f, sheep/sheep mouton m,"
    "lion lion m, bear ours m, snake serpent m, pig cochon m"
)
PEOPLE = _nouns(
    "man/men homme m, woman/women femme f, boy garçon m, girl fille f, child/children enfant m,"
    "teacher professeur m, doctor médecin m, king roi m, queen reine f, baker boulanger m,"
    "farmer fermier m, neighbour voisin m, friend ami m, sister sœur f, brother frère m,"
    "mother mère f, father père m, uncle oncle m, aunt tante f, soldier soldat m"
)
FOODS = _nouns(
    "apple pomme f, pear poire f, cheese fromage m, cake gâteau m, egg œuf m, soup soupe f,"
    "carrot carotte f, orange orange f, lemon citron m, cherry cerise f, onion oignon m,"
    "nut noix f, bread pain m"
)
THINGS = _nouns(
    "book livre m, table table f, chair chaise f, box boîte f, key clé f, letter lettre f,"
    "bag sac m, hat chapeau m, knife/knives couteau m, cup tasse f, bottle bouteille f,"
    "lamp lampe f, ball balle f, boat bateau m, car voiture f, train train m, coat manteau m,"
    "shoe chaussure f, clock horloge f, mirror miroir m, pen stylo m, dress robe f,"
    "shirt chemise f, picture image f, basket panier m, bed lit m, window fenêtre f,"
    "door porte f, tree arbre m, flower fleur f, stone pierre f"
)
PLACES = _nouns(
    "house maison f, garden jardin m, kitchen cuisine f, school école f, shop magasin m,"
    "forest forêt f, town ville f, street rue f, river rivière f, mountain montagne f,"
    "church église f, room chambre f, station gare f, field champ m, island île f,"
    "village village m, market marché m, castle château m, beach plage f, park parc m"
)

ADJECTIVES = (
    *_adjectives(
        "small petit petite, big grand grande, young jeune, old vieux vieille vieil,"
        "new nouveau nouvelle nouvel, beautiful beau belle bel, good bon bonne,"
        "bad mauvais mauvaise, pretty joli jolie",
        precedes=True,
    ),
    *_adjectives(
        "red rouge, green vert verte, blue bleu bleue, black noir noire, white blanc blanche,"
        "yellow jaune, grey gris grise, heavy lourd lourde, tired fatigué fatiguée,"
        "happy heureux heureuse, sad triste, clean propre, dirty sale, rich riche, poor pauvre,"
        "strong fort forte, slow lent lente, fast rapide, calm calme, empty vide,"
        "cold froid froide, warm chaud chaude, round rond ronde, strange étrange",
        precedes=False,
    ),
)

TRANSITIVE = _verbs(
    "look_at regarder, love aimer, find trouver, carry porter, draw dessiner, wash laver,"
    "hide cacher, show montrer, bring apporter, keep garder, break casser, hate détester,"
    "touch toucher, pull tirer, push pousser, count compter, cut couper, close fermer,"
    "buy acheter achète achètes achète achetons achètent,"
    "sell vendre vends vends vend vendons vendent,"
    "see voir vois vois voit voyons voient,"
    "want vouloir veux veux veut voulons veulent,"
    "take prendre prends prends prend prenons prennent,"
    "lose perdre perds perds perd perdons perdent,"
    "hear entendre entends entends entend entendons entendent"
)
EAT = _verbs("eat manger")[0]
INTRANSITIVE = _verbs(
    "sing chanter, dance danser, walk marcher, swim nager, work travailler, play jouer,"
    "cry pleurer, talk parler, fall tomber, jump sauter, dream rêver, travel voyager,"
    "arrive arriver, sleep dormir dors dors dort dormons dorment,"
    "run courir cours cours court courons courent,"
    "laugh rire ris ris rit rions rient,"
    "wait attendre attends attends attend attendons attendent"
)

THE = Determiner("the", "the", "le", "la", "l'", "l'", "les")
A = Determiner("a", "some", "un", "une", "un", "une", "des")
DEFINITE = (
    THE, THE, THE, THE,
    Determiner("my", "my", "mon", "ma", "mon", "mon", "mes"),
    Determiner("your", "your", "ton", "ta", "ton", "ton", "tes"),
    Determiner("our", "our", "notre", "notre", "notre", "notre", "nos"),
    Determiner("his", "his", "son", "sa", "son", "son", "ses"),
    Determiner("her", "her", "son", "sa", "son", "son", "ses"),
    Determiner("this", "these", "ce", "cette", "cet", "cette", "ces"),
)  # fmt: skip
COUNTS = tuple(
    zip(
        "two three four five six seven eight nine ten".split(),
        "deux trois quatre cinq six sept huit neuf dix".split(),
        strict=True,
    )
)

ADVERBS = (
    ("now", "maintenant"), ("today", "aujourd'hui"), ("often", "souvent"), ("here", "ici"),
    ("slowly", "lentement"), ("quickly", "vite"), ("well", "bien"), ("every day", "tous les jours"),
    ("at night", "la nuit"), ("in winter", "en hiver"), ("in summer", "en été"),
)  # fmt: skip
IN_PLACES = (("in", "dans"), ("in", "dans"), ("behind", "derrière"), ("in front of", "devant"))
AT_THINGS = (("on", "sur"), ("under", "sous"), ("behind", "derrière"), ("in front of", "devant"))
