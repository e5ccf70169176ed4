"""Personal data in text: where e-mail addresses, IP addresses, phone, card and identity numbers are.

E-mail and IPv4 addresses are what datatrove 0.10.1's PIIFormatter takes for one. Numbers are taken
where their form and their check digits leave little doubt: a card number has an issuer's prefix and
length and passes Luhn's check; a phone number is written as one (a country code, an area code in
brackets, the groups of its country), or follows a word such as `tel` or `电话`.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Iterator
from typing import Final, Literal

Kind = Literal["email", "ip", "ipv6", "card", "iban", "phone"]
NationalId = Literal["us_ssn", "cn_id", "uk_nino", "es_dni"]
Span = tuple[int, int]

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_EMAIL: Final = re.compile(
    rf"\b{_ATOM}(?:\.{_ATOM})*@(?:(?:{_LABEL}\.)+{_LABEL}"
    rf"|\[(?:{_OCTET}\.){{3}}(?:{_OCTET}|[A-Za-z0-9-]*[A-Za-z0-9]:)])"
)
_LOCAL: Final = frozenset(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-.")
_DOMAIN: Final = frozenset(string.ascii_letters + string.digits + "-.[]:")
_IPV4: Final = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_DOTTED: Final = re.compile(r"[0-9.]{7,}")
_IPV6: Final = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.ASCII
)

_CARD: Final = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){11,18}(?![\w-]|\.\d)", re.ASCII)
_ISSUERS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12}|(?:2131|1800)\d{11}"  # JCB
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}"  # Discover
    r"|62\d{14,17}"  # UnionPay
    r"|(?:50|5[6-8]|6[37])\d{10,17}"  # Maestro
)
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")

_SEPARATOR: Final = r"[ .\-\u2010\u2011\u2013\xa0]"
_DIGITS: Final = re.compile(r"\d(?:[^\w\n]{0,3}\d){6,}")
_SURE_PHONE: Final = re.compile(
    # not the tail of a longer number, a price, a decimal or a word
    r"(?<![\w.,/=+$€£¥#-])(?:"
    # +CC and eight digits or more, in groups; 00CC and 001- are written for +
    rf"\+\d{{1,3}}(?:{_SEPARATOR}?\(0?\d{{0,4}}\))?(?:{_SEPARATOR}?\d){{6,12}}"
    r"|(?<!\d )(?:"
    rf"00[1-9]\d{{0,2}}(?:{_SEPARATOR}\d{{2,4}}){{2,5}}"
    # North America: 3-3-4, with an area code that there can be
    r"|(?:1[ .-])?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,5})?"
    # an area code in brackets
    rf"|\(0?\d{{1,4}}\){_SEPARATOR}?\d{{3,4}}{_SEPARATOR}?\d{{3,4}}"
    # a trunk prefix 0 and groups, but no row of bytes: 01.84.17.61.18, 079 2718 1155
    rf"|(?!\d{{3}}-\d\d-\d{{4}})0[1-9]\d{{0,3}}{_SEPARATOR}\d{{2,4}}(?:{_SEPARATOR}\d{{2,4}}){{1,3}}(?! [0-9a-f]{{2}}\b)"
    # China: mobile, and area code and number
    r"|(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}|0(?:10|2\d|[3-9]\d\d)-\d{7,8})"
    r")(?!\w|-\d|[.,]\d)",
    re.ASCII | re.IGNORECASE,
)
_NAMED_PHONE: Final = re.compile(
    r"(?:\b(?:tel|telephone|phone|mobile|mob|cell|cellphone|fax|call|dial|whatsapp|hotline|landline"
    r"|telefon|telefono|teléfono|téléphone|móvil|handy)\b|电话|電話|手机|手機|传真|傳真|热线)"
    # a few words may stand between: "call me on", "phone number:"
    r"[^\d\n]{0,20}\n?[^\d\n]{0,3}(?<![\w+])"
    rf"(?P<number>(?:\+?\d|\(\d)(?:[()]{{0,2}}{_SEPARATOR}?[()]?\d){{6,13}})(?!\w|-\d|[.,]\d)",
    re.ASCII | re.IGNORECASE,
)
_DATE: Final = re.compile(r"(?:19|20)\d\d[-./ ][01]?\d[-./ ][0-3]?\d(?!\d)|[0-3]?\d[-./][01]?\d[-./](?:19|20)\d\d(?!\d)")  # fmt: skip

_SSN: Final = re.compile(
    r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])", re.ASCII
)
_CN_ID: Final = re.compile(r"(?<!\d)[1-8]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx](?!\d)")  # fmt: skip
_NINO: Final = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r" ?\d\d ?\d\d ?\d\d ?[A-D](?![A-Za-z0-9])"
)
_DNI: Final = re.compile(r"(?<![A-Za-z0-9])(?:\d{8}|[XYZ]\d{7})-?[A-HJ-NP-TV-Z](?![A-Za-z0-9])")


def emails(text: str) -> Iterator[Span]:
    """What datatrove's expression matches, looked for only around the signs `@`."""
    at, done = text.find("@"), 0
    while at >= 0:
        start, stop = at, at + 1
        while start > done and text[start - 1] in _LOCAL:
            start -= 1
        while stop < len(text) and text[stop] in _DOMAIN:
            stop += 1
        found = _EMAIL.search(text, start, stop)
        done = at + 1
        if found is not None:
            yield found.span()
            done = found.end()
        at = text.find("@", done)


def ipv4(text: str, public_only: bool) -> Iterator[Span]:
    """Addresses of four numbers; by default only public ones, as private ones name nobody."""
    # a match lies within one run of digits and dots, and runs are quick to find
    for run in _DOTTED.finditer(text):
        for found in _IPV4.finditer(text, *run.span()):
            if _is_address(found[0], public_only):
                yield found.span()


def ipv6(text: str, public_only: bool) -> Iterator[Span]:
    return (
        m.span() for m in _IPV6.finditer(text) if len(m[0]) > 7 and _is_address(m[0], public_only)
    )


def _is_address(address: str, public_only: bool) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global or not public_only


def cards(text: str) -> Iterator[Span]:
    for found in _CARD.finditer(text):
        digits = re.sub("[ -]", "", found[0])
        if _ISSUERS.fullmatch(digits) and luhn(digits):
            yield found.span()


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO 7812."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers that pass their check (ISO 13616)."""
    for found in _IBAN.finditer(text):
        # what follows in capitals may have been taken for more groups
        end = found.end()
        while end - found.start() >= 15:
            bare = text[found.start() : end].replace(" ", "")
            turned = "".join(str(int(char, 36)) for char in bare[4:] + bare[:4])
            if 15 <= len(bare) <= 34 and int(turned) % 97 == 1:
                yield found.start(), end
                break
            end = text.rfind(" ", found.start(), end)


def phones(text: str) -> Iterator[Span]:
    """In order; a number that is written as one is not taken twice for following a word."""
    taken: list[Span] = []
    for start, stop in _digit_windows(text):
        for found in _SURE_PHONE.finditer(text, start, stop):
            if not _is_no_phone(found[0]):
                taken.append(found.span())
        for found in _NAMED_PHONE.finditer(text, start, stop):
            first, last = found.span("number")
            free = all(last <= a or first >= b for a, b in taken)
            if free and not _is_no_phone(found["number"]):
                taken.append((first, last))
    return iter(sorted(taken))


def _digit_windows(text: str) -> Iterator[Span]:
    """Where there are enough digits for a number, with what may stand before and behind it."""
    start = stop = -1
    for found in _DIGITS.finditer(text):
        first, last = max(0, found.start() - 48), found.end() + 16
        if first > stop:
            if stop >= 0:
                yield start, stop
            start = first
        stop = last
    if stop >= 0:
        yield start, stop


def _is_no_phone(number: str) -> bool:
    return _DATE.match(number) is not None or len(set(re.sub(r"\D", "", number))) == 1


def us_ssn(text: str) -> Iterator[Span]:
    """Social security numbers as they are written since 1936, and with numbers that are given out."""
    return (found.span() for found in _SSN.finditer(text))


def cn_id(text: str) -> Iterator[Span]:
    """Resident identity numbers of China, by their check digit (GB 11643)."""
    for found in _CN_ID.finditer(text):
        total = sum(
            int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(found[0][:17])
        )
        if "10X98765432"[total % 11] == found[0][17].upper():
            yield found.span()


def uk_nino(text: str) -> Iterator[Span]:
    return (found.span() for found in _NINO.finditer(text))


def es_dni(text: str) -> Iterator[Span]:
    """Spanish DNI and NIE, by their letter."""
    for found in _DNI.finditer(text):
        number = found[0].replace("-", "")
        digits = number[:-1].translate(str.maketrans("XYZ", "012"))
        if "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]:
            yield found.span()


NATIONAL_IDS: Final[dict[str, Callable[[str], Iterator[Span]]]] = {
    "us_ssn": us_ssn,
    "cn_id": cn_id,
    "uk_nino": uk_nino,
    "es_dni": es_dni,
}
