"""What each customer is going to do in two years, drawn from the seed before anything runs."""

import random
from dataclasses import dataclass, field
from uuid import UUID

DAYS = 730
SEED = 20_271_101
SECONDS_A_DAY = 86_400
LAST_SIGN_UP = 700
MONTHLY, YEARLY = (1001, 1011, 1021), (1002, 1012, 1022)
PACKS = (2001, 2002, 2003)
KINDS, SHARES = ("free", "monthly", "yearly", "eventful"), (66, 13, 9, 12)
KEPT_SHARES = (0, 30, 50, 80, 100, 100, 100)  # percent of a hold that is captured
# What an eventful customer does next, by weight.
EVENTFUL = {
    "subscribe": 14,
    "up": 12,
    "down": 8,
    "other interval": 6,
    "cancel": 9,
    "resume": 7,
    "decline": 9,
    "good card": 6,
    "bad card": 2,
    "refund": 7,
    "refund pack": 4,
    "pack": 7,
    "pause": 4,
    "unpause": 4,
    "end now": 1,
    "end trial": 2,
}
CHARGED_LATER = 1  # an uneven number: see how the storekeeper moves to another plan
UNDONE_BY = {"cancel": "resume", "pause": "unpause", "decline": "good card"}


@dataclass(frozen=True, order=True)
class Step:
    """Something that a customer, or the shop for them, does at a second of a day; `number` says
    how much, how often or how long, where that is a question."""

    day: int
    second: int
    what: str
    number: int = 0


@dataclass(frozen=True)
class Spending:
    """A job: a hold of `share` percent of the balance at noon, of which `kept` percent are captured
    `days` later; None if nobody ever settles it."""

    day: int
    share: int
    kept: int
    days: int | None


@dataclass
class Script:
    """A customer's two years."""

    name: str
    user_id: UUID
    kind: str
    signs_up: Step
    steps: list[Step] = field(default_factory=list)
    spendings: list[Spending] = field(default_factory=list)

    def act(self, dice: random.Random, day: int, what: str, number: int = 0) -> None:
        """Add a step; on the day of the sign-up it comes after it."""
        if self.signs_up.day <= day < DAYS:
            earliest = self.signs_up.second + 1 if day == self.signs_up.day else 0
            self.steps.append(Step(day, dice.randrange(earliest, SECONDS_A_DAY), what, number))


def write_scripts(customers: int) -> list[Script]:
    """The scripts of so many customers, most of them quiet."""
    return [_write(number) for number in range(customers)]


def _write(number: int) -> Script:
    dice = random.Random(SEED + number)
    kind = dice.choices(KINDS, SHARES)[0]
    script = Script(
        name=f"c{number}",
        user_id=UUID(int=dice.getrandbits(128), version=4),
        kind=kind,
        signs_up=Step(_sign_up_day(dice), dice.randrange(36_000), "sign up"),
    )
    _WRITERS[kind](script, dice)
    script.steps.sort()
    _spend(script, dice)
    return script


def _sign_up_day(dice: random.Random) -> int:
    """More and more come."""
    return max(dice.randrange(LAST_SIGN_UP), dice.randrange(LAST_SIGN_UP))


def _free(script: Script, dice: random.Random) -> None:
    """Some buy a pack, few want their money back."""
    day = script.signs_up.day + dice.randrange(200)
    if dice.random() < 0.25:
        script.act(dice, day, "pack", dice.choice(PACKS))
        if dice.random() < 0.3:
            script.act(dice, day + dice.randrange(60), "refund pack", _percent(dice))


def _monthly(script: Script, dice: random.Random) -> None:
    """Some months, and an end in peace. Who goes up and is charged for it with the renewal pays an
    uneven sum; when a part of that is given back the credits do not divide evenly."""
    day = script.signs_up.day + dice.randrange(30)
    _subscribe(script, dice, day, dice.choice(MONTHLY))
    if dice.random() < 0.15:
        script.act(dice, day + dice.randrange(9, 25), "up", CHARGED_LATER)
        script.act(dice, day + dice.randrange(42, 60), "refund", dice.choice((7, 33, 50)))
    if dice.random() < 0.2:
        script.act(dice, day + dice.randrange(100), "pack", dice.choice(PACKS))
    script.act(dice, day + dice.randrange(1, 400), "cancel")


def _yearly(script: Script, dice: random.Random) -> None:
    day = script.signs_up.day + dice.randrange(30)
    _subscribe(script, dice, day, dice.choice(YEARLY))
    if dice.random() < 0.3:
        script.act(dice, day + dice.randrange(10, 300), "refund", _percent(dice))
    if dice.random() < 0.5:
        script.act(dice, day + dice.randrange(30, 500), "cancel")


def _eventful(script: Script, dice: random.Random) -> None:
    """Whatever comes to mind, again and again; what the provider refuses changes nothing."""
    day = script.signs_up.day + dice.randrange(10)
    _subscribe(script, dice, day, dice.choice((*MONTHLY, *MONTHLY, *YEARLY)))
    if dice.random() < 0.25:
        script.act(dice, day + dice.randrange(1, 6), "end trial")
    pace = dice.choice((5, 15, 30))
    while (day := day + dice.randrange(2 * pace)) < DAYS:
        what = dice.choices(list(EVENTFUL), list(EVENTFUL.values()))[0]
        if what == "subscribe":
            _subscribe(script, dice, day, dice.choice((*MONTHLY, *YEARLY)))
        else:
            script.act(dice, day, what, _number(what, dice))
        if what in UNDONE_BY and dice.random() < 0.5:
            script.act(dice, day + dice.randrange(12), UNDONE_BY[what])


def _number(what: str, dice: random.Random) -> int:
    if what in ("refund", "refund pack"):
        return _percent(dice)
    if what == "pack":
        return dice.choice(PACKS)
    if what == "decline":
        return dice.randrange(1, 7)
    return dice.randrange(100)


def _subscribe(script: Script, dice: random.Random, day: int, variant: int) -> None:
    what = dice.choices(("subscribe", "subscribe without trial", "subscribe as another"), (5, 5, 1))
    script.act(dice, day, what[0], variant)


def _percent(dice: random.Random) -> int:
    """Of the money: all of it in every second case."""
    return dice.choice((100, 100, 100, 50, 33, 7))


def _spend(script: Script, dice: random.Random) -> None:
    """Jobs: few in a quiet life, many in an eventful one; a job can cost more than there is."""
    pace = 12 if script.kind == "eventful" else 60
    day = script.signs_up.day
    while (day := day + dice.randrange(1, 2 * pace)) < DAYS:
        days = dice.choice((0, 0, 0, 1, 2, 9, None))
        share = dice.choice((3, 10, 40, 80, 100, 130))
        script.spendings.append(Spending(day, share, dice.choice(KEPT_SHARES), days))


_WRITERS = {"free": _free, "monthly": _monthly, "yearly": _yearly, "eventful": _eventful}
