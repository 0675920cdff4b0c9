"""The published prices, and those that the user gives."""

from __future__ import annotations

import pytest

from dockerparallel import InvalidTypeError, InvalidValueError
from dockerparallel_ecs_fargate_provider.prices import (
    ARM64,
    PUBLIC_IP_HOUR,
    PUBLISHED,
    X86_64,
    PriceTable,
)
from dockerparallel_ecs_fargate_provider.sizes import FargateSize

SMALL = FargateSize(1024, 2048)
TABLE = PriceTable.published()


@pytest.mark.parametrize(
    ("architecture", "vcpu_hour", "gb_hour"),
    [(X86_64, 0.04048, 0.004445), (ARM64, 0.03238, 0.00356)],
)
def test_the_published_rates(architecture: str, vcpu_hour: float, gb_hour: float) -> None:
    rates = PUBLISHED[architecture]
    assert (rates.vcpu_hour, rates.gb_hour, rates.minimum_seconds) == (vcpu_hour, gb_hour, 60)
    assert rates.source == "https://aws.amazon.com/fargate/pricing/"
    assert rates.date == "2026-11"
    assert TABLE.rates(architecture) == rates
    assert PUBLIC_IP_HOUR == 0.005


# The prices were reckoned by hand: 0.04048 + 2 * 0.004445 = 0.04937 dollars per hour, and so on.
@pytest.mark.parametrize(
    ("size", "spot", "public_ip", "architecture", "expected"),
    [
        (SMALL, False, False, X86_64, 0.04937),
        (SMALL, False, True, X86_64, 0.05437),
        (SMALL, True, False, X86_64, 0.014811),
        (SMALL, True, True, X86_64, 0.019811),
        (SMALL, False, False, ARM64, 0.0395),
        (FargateSize(256, 512), False, False, X86_64, 0.0123425),
        (FargateSize(16384, 122880), False, False, X86_64, 1.18108),
    ],
)
def test_the_price_of_a_task(
    size: FargateSize, spot: bool, public_ip: bool, architecture: str, expected: float
) -> None:
    assert TABLE.for_task(size, spot, public_ip, architecture) == pytest.approx(expected)


def test_a_user_may_give_each_price() -> None:
    assert PriceTable(vcpu_hour=1).for_task(SMALL) == pytest.approx(1 + 2 * 0.004445)
    assert PriceTable(gb_hour=1).for_task(SMALL) == pytest.approx(0.04048 + 2)
    assert PriceTable(public_ip_hour=1).for_task(SMALL, public_ip=True) == pytest.approx(1.04937)
    assert PriceTable(spot_factor=0.5).for_task(SMALL, spot=True) == pytest.approx(0.024685)
    assert PriceTable(vcpu_hour=2, gb_hour=3).for_task(SMALL, architecture=ARM64) == 8
    assert PriceTable(vcpu_hour=0, gb_hour=0).for_task(SMALL) == 0


def test_rates_say_whose_they_are() -> None:
    assert PriceTable(vcpu_hour=1).rates().source == "given by the user"
    assert PriceTable(spot_factor=0.5).rates().source.startswith("https://")


@pytest.mark.parametrize(
    ("table", "region", "noted"),
    [
        (TABLE, "us-east-1", False),
        (TABLE, None, False),
        (TABLE, "eu-central-1", True),
        (PriceTable(vcpu_hour=1), "eu-central-1", True),
        (PriceTable(vcpu_hour=1, gb_hour=1), "eu-central-1", False),
    ],
)
def test_prices_of_another_region_are_noted(
    table: PriceTable, region: str | None, noted: bool
) -> None:
    note = table.note(region)
    if noted:
        assert note is not None
        assert note.startswith("The prices are those of us-east-1 (2026-11, https://")
        assert "and eu-central-1 has others: give them by PriceTable(vcpu_hour=" in note
    else:
        assert note is None


def test_the_assumed_price_of_spot_is_noted() -> None:
    note = TABLE.note("us-east-1", spot=True)
    assert note is not None
    assert note.startswith("Spot is counted at 30% of the price on demand, which is an assumption")
    assert PriceTable(spot_factor=0.3).note("us-east-1", spot=True) is None


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="'X86_64' or 'ARM64', not 'arm64'"):
        TABLE.for_task(SMALL, architecture="arm64")


@pytest.mark.parametrize("name", ["vcpu_hour", "gb_hour", "public_ip_hour", "spot_factor"])
def test_a_price_must_be_an_amount(name: str) -> None:
    for wrong in (-0.1, float("inf"), float("nan")):
        with pytest.raises(InvalidValueError, match=f"{name} must be 0 or more and finite"):
            PriceTable(**{name: wrong})
    with pytest.raises(InvalidTypeError, match=f"{name} must be a number, not True"):
        PriceTable(**{name: True})


def test_spot_is_never_dearer_than_on_demand() -> None:
    with pytest.raises(InvalidValueError, match=r"spot_factor must be from 0 to 1, not 70:"):
        PriceTable(spot_factor=70)


def test_the_public_address_has_a_price() -> None:
    with pytest.raises(InvalidTypeError, match="public_ip_hour must be a number, not None"):
        PriceTable(public_ip_hour=None)  # type: ignore[arg-type]
