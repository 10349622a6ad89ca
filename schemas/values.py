"""What the generated types share at run time: their pydantic settings and their named formats.

Knows no message. Invariant: a value that breaks a bound never becomes an object, and the error
that says so names the field and the bound but never repeats the value, which may be personal.
"""

from __future__ import annotations

from pydantic import ConfigDict

CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True)

# ISO 4217: the codes in use that goods are paid in (no metals, no testing codes).
_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN "
    "BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS "
    "KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR "
    "MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD "
    "RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP "
    "TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW "
    "ZWG "
)
CURRENCIES = frozenset(_CODES.split())


def iso4217(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("is no ISO 4217 currency in use; give three letters, for example GBP")
    return code
