"""The invented part of the sample: a name, a resident id number, phones and an address for each customer.

The source names nobody. Words come from Faker's `zh_CN` providers and are drawn by a generator of random numbers seeded
for each customer alone, so a customer's person never depends on how many others are generated. The providers' word
lists are read directly because a `Faker` object takes some hundred times longer per person.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from typing import cast

from faker.providers.address.zh_CN import Provider as AddressWords
from faker.providers.person.zh_CN import Provider as NameWords
from faker.providers.phone_number.zh_CN import Provider as PhoneWords

SEED = "harbour-bank-2005"
REFERENCE_YEAR = 2005
PHONE_CHANGE_PROBABILITY = 0.01

# GB/T 2260 codes of the places that issue resident ids, in the words of Faker's address provider.
PROVINCE_CODES = {
    "北京市": "11",
    "天津市": "12",
    "河北省": "13",
    "山西省": "14",
    "内蒙古自治区": "15",
    "辽宁省": "21",
    "吉林省": "22",
    "黑龙江省": "23",
    "上海市": "31",
    "江苏省": "32",
    "浙江省": "33",
    "安徽省": "34",
    "福建省": "35",
    "江西省": "36",
    "山东省": "37",
    "河南省": "41",
    "湖北省": "42",
    "湖南省": "43",
    "广东省": "44",
    "广西壮族自治区": "45",
    "海南省": "46",
    "重庆市": "50",
    "四川省": "51",
    "贵州省": "52",
    "云南省": "53",
    "西藏自治区": "54",
    "陕西省": "61",
    "甘肃省": "62",
    "青海省": "63",
    "宁夏回族自治区": "64",
    "新疆维吾尔自治区": "65",
}
_PROVINCES = tuple(PROVINCE_CODES)
# The providers' types promise less than an ordered mapping and lists.
_WEIGHTED_SURNAMES = cast("Mapping[str, float]", NameWords.last_names)
_MALE_NAMES = tuple(NameWords.first_names_male)
_FEMALE_NAMES = tuple(NameWords.first_names_female)
_DISTRICTS = tuple(AddressWords.districts)
_CITIES = tuple(AddressWords.cities)
_STREET_SUFFIXES = tuple(AddressWords.street_suffixes)
_PHONE_PREFIXES = tuple(PhoneWords.phonenumber_prefixes)
_SURNAMES = tuple(_WEIGHTED_SURNAMES)
_SURNAME_WEIGHTS = tuple(accumulate(_WEIGHTED_SURNAMES.values()))
_STREETS = tuple(word for word in _SURNAMES if len(word) == 1)

_CHECK_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_DIGITS = "10X98765432"


@dataclass(frozen=True, slots=True)
class Person:
    """An invented borrower; `phones` holds the number known in each month, in order."""

    name: str
    resident_id: str
    phones: tuple[str, ...]
    address: str


def invent_person(client_id: int, *, is_male: bool, age: int, months: int) -> Person:
    """Return the same invented person for the same customer every time.

    `age` is in years as of 2005 and gives the birth year, `is_male` the parity of the id number's sequence.
    """
    draw = random.Random(f"{SEED}:{client_id}")  # noqa: S311 - repeatable sample data, no secret
    given_names = _MALE_NAMES if is_male else _FEMALE_NAMES
    name = draw.choices(_SURNAMES, cum_weights=_SURNAME_WEIGHTS)[0] + draw.choice(given_names)
    province = draw.choice(_PROVINCES)
    birthday = date(REFERENCE_YEAR - age, 1, 1) + timedelta(days=draw.randrange(365))
    return Person(
        name=name,
        resident_id=_resident_id(client_id, PROVINCE_CODES[province], birthday, is_male=is_male),
        phones=_phones(draw, months),
        address=_address(draw, province),
    )


def check_digit(first_seventeen: str) -> str:
    """Return the last character of a resident id number by GB 11643-1999 (ISO 7064 MOD 11-2)."""
    weighted = sum(weight * int(digit) for weight, digit in zip(_CHECK_WEIGHTS, first_seventeen, strict=True))
    return _CHECK_DIGITS[weighted % 11]


def _resident_id(client_id: int, province_code: str, birthday: date, *, is_male: bool) -> str:
    """Return an id number that nobody holds: no county has a code beginning with 99 inside a province.

    County and sequence are taken from the customer's id, so no two of the sample's numbers are equal.
    """
    block, place = divmod(client_id, 100)
    sequence = 2 * block + is_male
    if sequence > 999:
        raise ValueError(f"customer id {client_id} is beyond 49999, the last that has an id number of its own")
    digits = f"{province_code}99{place:02d}{birthday:%Y%m%d}{sequence:03d}"
    return digits + check_digit(digits)


def _phones(draw: random.Random, months: int) -> tuple[str, ...]:
    phones = [_phone(draw)]
    while len(phones) < months:
        phones.append(_phone(draw) if draw.random() < PHONE_CHANGE_PROBABILITY else phones[-1])
    return tuple(phones)


def _phone(draw: random.Random) -> str:
    return f"{draw.choice(_PHONE_PREFIXES)}{draw.randrange(10**8):08d}"


def _address(draw: random.Random, province: str) -> str:
    # A municipality is its own city.
    city = "" if province.endswith("市") else f"{draw.choice(_CITIES)}市"
    district = f"{draw.choice(_DISTRICTS)}区"
    street = f"{draw.choice(_STREETS)}{draw.choice(_STREET_SUFFIXES)}"
    return f"{province}{city}{district}{street}{draw.randrange(1, 400)}号{draw.randrange(101, 2900)}室"
