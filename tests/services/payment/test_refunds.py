"""Packs of credits, and what refunds take back."""

from collections.abc import Callable

import pytest

from libs.db.engine import Sessions
from libs.testkit.lemon_squeezy.changes import change_variant
from libs.testkit.lemon_squeezy.refunds import refund_invoice, refund_order
from tests.services.payment.till import PRO, SMALL_PACK, STUDIO, Till, open_till

FREE = 500


@pytest.fixture
async def till(sessions: Callable[[str], Sessions]) -> Till:
    return await open_till(sessions)


async def test_a_refund_takes_what_is_unspent_and_never_more(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    await till.spend(2_000_000)
    (invoice,) = till.books.invoices.values()
    refund_invoice(till.books, invoice.id)
    await till.settle()
    assert await till.credits() == {}
    assert await till.tier() == "pro"  # until it is cancelled
    assert await till.letters() == {"receipt", "refund"}
    change_variant(till.books, subscription, STUDIO, disable_prorations=True)
    await till.settle()
    assert await till.credits() == {}  # nothing more for this period


async def test_partial_refunds_take_their_share_once(till: Till) -> None:
    till.subscribe(PRO)
    await till.settle()
    (invoice,) = till.books.invoices.values()
    refund_invoice(till.books, invoice.id, 1_500)
    first = till.told()
    await till.apply(*first, *first)
    assert (await till.credits())["plan"] == 12_000
    refund_invoice(till.books, invoice.id, 750)
    second = till.told()
    await till.apply(*second, *first)
    assert (await till.credits())["plan"] == 10_500


async def test_a_pack_is_given_once_and_refunded_by_share(till: Till) -> None:
    order = till.buy(SMALL_PACK).order
    told = till.told()
    await till.apply(*told, *told)
    assert await till.credits() == {"free": FREE, "top_up": 1_000}
    refund_order(till.books, order.id, 150)
    await till.settle()
    assert (await till.credits())["top_up"] == 750
    refund_order(till.books, order.id)
    await till.settle()
    assert await till.credits() == {"free": FREE}
    assert await till.letters() == {"topup", "refund"}


async def test_a_pack_that_was_refunded_before_it_was_told_gives_nothing(till: Till) -> None:
    order = till.buy(SMALL_PACK).order
    (created,) = till.told()
    refund_order(till.books, order.id)
    (refunded,) = till.told()
    await till.apply(refunded, created)
    assert await till.credits() == {"free": FREE}
    assert await till.letters() == {"topup", "refund"}
