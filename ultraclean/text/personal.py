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

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"


def _email(letters: str, begin: str = r"\b") -> re.Pattern[str]:
    atom = rf"[{letters}!#$%&'*+/=?^_`{{|}}~-]+"
    label = rf"[{letters}](?:[{letters}-]*[{letters}])?"
    return re.compile(
        rf"{begin}{atom}(?:\.{atom})*@(?:(?:{label}\.)+{label}"
        rf"|\[(?:{_OCTET}\.){{3}}(?:{_OCTET}|[{letters}-]*[{letters}]:)])"
    )


_EMAIL: Final = _email("A-Za-z0-9")
_LOCAL: Final = frozenset(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-.")
_DOMAIN: Final = frozenset(string.ascii_letters + string.digits + "-.[]:")
# Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic; not those written without spaces between words,
# where the words around an address would be taken for a part of it
_RANGES: Final = "À-ÖØ-öø-ɏͰ-ͳͶͷͻ-ͽΆΈ-ϿЀ-ҁҊ-ԯԱ-Ֆա-ևא-תؠ-ي"
_ALL: Final = f"A-Za-z0-9{_RANGES}"
_WIDE_EMAIL: Final = _email(_ALL, rf"(?<![{_ALL}])(?=[{_ALL}])")
_WIDE: Final = frozenset(re.findall(f"[{_RANGES}]", "".join(map(chr, range(0xC0, 0x700)))))
_IPV4: Final = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_DOTTED: Final = re.compile(r"[0-9.]{7,}")
_IPV6: Final = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.ASCII
)

_CARD: Final = re.compile(
    r"(?<![\w.+-])(?:\d(?:[ -]?\d){11,18}|"
    # other separators are one kind, and divide as on a card
    r"\d{4}(?P<gap>  |[.\xa0\u2010\u2011\u2013])(?:\d{4}(?P=gap)\d{4}(?P=gap)\d{4}|\d{6}(?P=gap)\d{4,5})"
    r")(?![\w-]|\.\d)",
    re.ASCII,
)
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
_REGISTRY: Final = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27
DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28
IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22
MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
_IBAN_CHARS: Final = {part[:2]: int(part[2:]) for part in _REGISTRY.split()}
"""Country -> characters of its numbers (ISO 13616's registry)."""
_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z]{2}\d{2}(?:[ \-\xa0]?[A-Z0-9]){11,30}"
    r"|[a-z]{2}\d{2}(?:[ \-\xa0]?[a-z0-9]){11,30})(?![A-Za-z0-9])"
)

_SEPARATOR: Final = r"[ .\-\u2010\u2011\u2013\xa0]"
_SLASH: Final = r"(?: ?/ ?|[ .\-\u2010\u2011\u2013\xa0])"
_DIGITS: Final = re.compile(r"\d(?:[^\w\n]{0,3}\d){6,}")
_EXTENSION: Final = r"(?: ?(?:x|ext\.?) ?\d{1,5})?"
_SURE_PHONE: Final = re.compile(
    # +CC and eight digits or more, in groups; 00CC and 001- are written for +. After a letter or a
    # number that stands alone, `+ 4` is a sum
    rf"(?<![\w+$€£¥])(?:\+|(?<!\b\w )(?<![\d)] )\+ )\d{{1,3}}(?:{_SLASH}?\(\d{{0,4}}\)){{0,2}}(?:{_SLASH}?\d){{6,12}}"
    rf"{_EXTENSION}(?!\w|-\d|[.,]\d)|"
    # not the tail of a longer number, a price, a decimal or a word
    r"(?<![\w.,/=+$€£¥#-])(?<!\d[ \xa0])(?:"
    rf"00[1-9]\d{{0,2}}(?:{_SLASH}?\(\d{{1,4}}\)\d{{0,10}}){{0,2}}(?:{_SLASH}\d{{1,10}}){{0,6}}"
    # North America: 3-3-4, with an area code that there can be
    r"|(?:1[ .-])?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{4}"
    rf"{_EXTENSION}"
    # an area code in brackets
    rf"|\(0?\d{{1,4}}\){_SEPARATOR}?\d{{3,5}}{_SEPARATOR}?\d{{3,4}}"
    # a trunk prefix 0 and groups, but no row of bytes: 01.84.17.61.18, 079 2718 1155
    rf"|(?!\d{{3}}-\d\d-\d{{4}})(?<!\b[0-9a-f][0-9a-f] )0[1-9]\d{{0,3}}{_SEPARATOR}\d{{2,4}}(?:{_SEPARATOR}\d{{2,4}}){{1,3}}(?! [0-9a-f]{{2}}\b)"
    # a trunk prefix and two groups: 07411 664476, 0725/583213
    r"|0[1-9]\d{2,3} \d{6}|0[1-9]\d{1,4}/\d{4,8}"
    # China: mobile, and area code and number
    r"|(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}|0(?:10|2\d|[3-9]\d\d)-\d{7,8}"
    r")(?!\w|-\d|[.,]\d)",
    re.ASCII | re.IGNORECASE,
)
_NUMBER: Final = rf"(?P<number>(?:\+?\d|\(\d)(?:[()]{{0,2}}(?:{_SEPARATOR}[()]?)?\d){{6,13}})"
_NAMED_PHONE: Final = re.compile(
    r"(?:\b(?:tel|tél|telephone|phone|mobile|mob|cell|cellphone|fax|call|dial|whatsapp|hotline|landline"
    r"|telefon|telefono|teléfono|téléphone|móvil|handy)\b|电话|電話|手机|手機|传真|傳真|热线)"
    # a few words may stand between: "call me on", "phone number:"
    r"[^\d\n]{0,20}\n?[^\d\n]{0,3}(?<![\w+])"
    rf"{_NUMBER}(?!\w|-\d|[.,]\d)",
    re.ASCII | re.IGNORECASE,
)
_PHONE_AND_NAME: Final = re.compile(
    rf"(?<![\w.,/=+$€£¥#-])(?<!\d )(?<!\d\xa0)(?!\d+\.\d+[^\d.]){_NUMBER}[ :(/-]{{1,3}}"
    # at the end of what is said, as on a card: "930 167 3943 fax", but no "12 000 000 mobile users"
    r"(?:tel|fax|phone|mobile|mob|cell|office|home|work|desk|direct)\b(?=[ \t]{0,2}(?:$|[\n\r,;)|/\\]))",
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


def emails(text: str, unicode: bool = False) -> Iterator[Span]:
    """What datatrove's expression matches, looked for only around the signs `@`.

    With `unicode`, letters of other alphabets are letters too: `müller@bücher.example`.
    """
    pattern, more = (_WIDE_EMAIL, _WIDE) if unicode else (_EMAIL, frozenset[str]())
    at, done = text.find("@"), 0
    while at >= 0:
        start, stop = at, at + 1
        while start > done and (text[start - 1] in _LOCAL or text[start - 1] in more):
            start -= 1
        while stop < len(text) and (text[stop] in _DOMAIN or text[stop] in more):
            stop += 1
        found = pattern.search(text, start, stop)
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
    """Card numbers; digits around one, such as a date behind it, are no part of it."""
    for found in _CARD.finditer(text):
        for start, end in _group_spans(found):
            digits = re.sub(r"\D", "", text[start:end])
            if _ISSUERS.fullmatch(digits) and luhn(digits):
                yield start, end
                break


def _group_spans(found: re.Match[str]) -> Iterator[Span]:
    """The match, and what is left when its last groups, then its first ones, are left out."""
    gaps = [gap.span() for gap in re.finditer(r"[^A-Za-z0-9]+", found[0])]
    starts = [0, *(end for _, end in gaps)]
    ends = [len(found[0]), *(start for start, _ in reversed(gaps))]
    for start in starts:
        for end in ends:
            if end - start >= 12:
                yield found.start() + start, found.start() + end


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO 7812."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers of their country's length that pass their check."""
    found = _IBAN.search(text)
    while found is not None:
        done = found.start() + 4
        # what follows may have been taken for more groups
        for start, end in _group_spans(found):
            if start > found.start():
                break
            bare = re.sub(r"[ \-\xa0]", "", text[start:end]).upper()
            turned = "".join(str(int(char, 36)) for char in bare[4:] + bare[:4])
            if _IBAN_CHARS.get(bare[:2]) == len(bare) and int(turned) % 97 == 1:
                yield start, end
                done = end
                break
        found = _IBAN.search(text, done)


def phones(text: str) -> Iterator[Span]:
    """In order; a number that is written as one is not taken twice for following a word."""
    taken: list[Span] = []
    for start, stop in _digit_windows(text):
        for found in _SURE_PHONE.finditer(text, start, stop):
            if not _is_no_phone(found[0]):
                taken.append(found.span())
        for found in (
            *_NAMED_PHONE.finditer(text, start, stop),
            *_PHONE_AND_NAME.finditer(text, start, stop),
        ):
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
    digits = re.sub(r"\D", "", number)
    if digits.startswith("00") and not 9 < len(digits) < 18:
        return True
    return _DATE.match(number) is not None or len(set(digits)) == 1


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
