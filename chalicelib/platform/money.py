"""Money as integer minor units beside an ISO 4217 code: how many decimals each currency has, and exact conversions.

Exponents follow ISO 4217 list one. Codes without a minor unit of their own (precious metals, funds, test codes) are
left out on purpose: nothing is owed in them.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from chalicelib.platform.errors import Invalid

_TWO_DECIMALS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP "
    "CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES "
    "KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
    "NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB "
    "TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"
_LARGEST_POWER = 40  # of ten: keeps a text such as 1e999999999 from being written out

EXPONENTS: dict[str, int] = {
    code: exponent
    for exponent, codes in ((2, _TWO_DECIMALS), (0, _NO_DECIMALS), (3, _THREE_DECIMALS), (4, _FOUR_DECIMALS))
    for code in codes.split()
}
"""ISO 4217 code to the number of decimals of its minor unit: CNY 2, JPY 0, KWD 3."""


def exponent_of(currency: str) -> int:
    """How many decimals the currency's minor unit has; raises `Invalid` for a code that is not known."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise Invalid(f"{currency!r} is not a currency code of ISO 4217 that money can be owed in") from None


def to_minor(amount: str | Decimal, currency: str) -> int:
    """The amount (major units, as text or Decimal) in minor units of the currency, exactly.

    Raises `Invalid` where it is not a finite decimal number, is beyond 10^40 or has more decimals than the currency:
    nothing is rounded.
    """
    exponent = exponent_of(currency)
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise Invalid("the amount is not a decimal number, such as 1234.50") from None
    if not value.is_finite():
        raise Invalid("the amount is not a finite number")
    sign, digits, places = value.as_tuple()
    if abs(value.adjusted()) > _LARGEST_POWER or abs(int(places)) > _LARGEST_POWER:
        raise Invalid("the amount is out of range")
    shift = exponent + int(places)
    whole = int("".join(map(str, digits)))
    if shift >= 0:
        minor = whole * 10**shift
    else:
        minor, rest = divmod(whole, 10**-shift)
        if rest:
            raise Invalid(f"the amount has more decimals than {currency} has ({exponent})")
    return -minor if sign else minor
