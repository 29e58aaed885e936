"""Boards: names, images on any number of them, tenants on both sides."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.gallery.worker import Worker

PATH = "/api/v1/boards"
IMAGES = "/api/v1/images"
NO_BOARD = (404, "board-not-found")
NO_IMAGE = (404, "image-not-found")


async def make_board(caller: Caller, name: str = "Fruit") -> dict[str, Any]:
    answer = await caller.post(PATH, {"name": name})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PATH}/{answer.json()['id']}"
    board: dict[str, Any] = answer.json()
    return board


async def on_board(caller: Caller, board: dict[str, Any]) -> list[str]:
    return [image["id"] for image in await walk(caller, IMAGES, board_id=board["id"])]


async def test_a_board_lives(ada: Caller) -> None:
    board = await make_board(ada, "  Fruit ")
    assert (board["name"], board["images"]) == ("Fruit", 0)
    path = f"{PATH}/{board['id']}"
    assert (await ada.get(path)).json() == board
    renamed = (await ada.patch(path, {"name": "Food"})).json()
    assert renamed == {**board, "name": "Food"} == (await ada.get(path)).json()
    assert (await ada.delete(path)).status_code == 204
    assert problem_of(await ada.get(path)) == NO_BOARD
    assert problem_of(await ada.delete(path)) == NO_BOARD


async def test_an_image_is_on_any_number_of_boards(ada: Caller, worker: Worker) -> None:
    apple, pear = await worker.add(ada.id), await worker.add(ada.id)
    fruit, red = await make_board(ada, "Fruit"), await make_board(ada, "Red")
    for board, image in ((fruit, apple), (fruit, pear), (red, apple), (red, apple)):
        assert (await ada.put(f"{PATH}/{board['id']}/images/{image}")).status_code == 204
    assert await on_board(ada, fruit) == [pear, apple]
    assert await on_board(ada, red) == [apple]
    boards = await walk(ada, PATH, limit=1)
    assert [(board["name"], board["images"]) for board in boards] == [("Red", 1), ("Fruit", 2)]
    for _ in range(2):
        gone = await ada.delete(f"{PATH}/{fruit['id']}/images/{apple}")
        assert gone.status_code == 204
    assert await on_board(ada, fruit) == [pear]
    assert await on_board(ada, red) == [apple]


async def test_deleting_a_board_keeps_its_images(ada: Caller, worker: Worker) -> None:
    apple, board = await worker.add(ada.id), await make_board(ada)
    await ada.put(f"{PATH}/{board['id']}/images/{apple}")
    await ada.delete(f"{PATH}/{board['id']}")
    assert (await ada.get(f"{IMAGES}/{apple}")).status_code == 200
    assert await on_board(ada, board) == []


async def test_a_name_is_unique_among_ones_own_boards(ada: Caller, eve: Caller) -> None:
    await make_board(ada, "Fruit")
    fish = await make_board(ada, "Fish")
    await make_board(eve, "Fruit")
    taken = (409, "board-name-taken")
    assert problem_of(await ada.post(PATH, {"name": "Fruit"})) == taken
    assert problem_of(await ada.patch(f"{PATH}/{fish['id']}", {"name": "Fruit"})) == taken
    assert (await ada.patch(f"{PATH}/{fish['id']}", {"name": "Fish"})).status_code == 200
    assert [board["name"] for board in await walk(ada, PATH)] == ["Fish", "Fruit"]


async def test_an_idempotency_key_makes_one_board(ada: Caller) -> None:
    key = {"Idempotency-Key": "board-1"}
    first = await ada.post(PATH, {"name": "Fruit"}, **key)
    second = await ada.post(PATH, {"name": "Fruit"}, **key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"
    other = await ada.post(PATH, {"name": "Fish"}, **key)
    assert problem_of(other) == (422, "idempotency-key-reused")
    assert len(await walk(ada, PATH)) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\u0000b", 7])
async def test_a_bad_name_is_named(ada: Caller, name: object) -> None:
    assert named_fields(await ada.post(PATH, {"name": name})) == ["body.name"]


async def test_other_peoples_boards_and_images_do_not_exist(
    ada: Caller, eve: Caller, worker: Worker
) -> None:
    hers, image = await make_board(ada), await worker.add(ada.id)
    mine, own = await make_board(eve), await worker.add(eve.id)
    await ada.put(f"{PATH}/{hers['id']}/images/{image}")
    for board_id in (hers["id"], str(uuid4())):
        path = f"{PATH}/{board_id}"
        assert problem_of(await eve.get(path)) == NO_BOARD
        assert problem_of(await eve.patch(path, {"name": "Mine"})) == NO_BOARD
        assert problem_of(await eve.delete(path)) == NO_BOARD
        assert problem_of(await eve.put(f"{path}/images/{own}")) == NO_BOARD
        assert problem_of(await eve.delete(f"{path}/images/{image}")) == NO_BOARD
    assert problem_of(await eve.put(f"{PATH}/{mine['id']}/images/{image}")) == NO_IMAGE
    assert problem_of(await eve.put(f"{PATH}/{mine['id']}/images/{uuid4()}")) == NO_IMAGE
    assert await on_board(eve, hers) == []
    assert await on_board(ada, hers) == [image]


async def test_a_board_that_is_deleted_meanwhile_is_not_found(
    ada: Caller, worker: Worker, sessions: Callable[[str], Sessions]
) -> None:
    board, image = await make_board(ada), await worker.add(ada.id)
    delete = text("DELETE FROM gallery.boards WHERE id = :id")
    async with transaction(sessions("gallery"), ada.id) as session:
        await session.execute(delete, {"id": UUID(board["id"])})
        pinning = asyncio.create_task(ada.put(f"{PATH}/{board['id']}/images/{image}"))
        await asyncio.sleep(0.3)
        assert not pinning.done()  # it waits for the deletion to be decided
    assert problem_of(await pinning) == NO_BOARD


async def test_not_even_sql_pins_another_users_image(
    ada: Caller, eve: Caller, worker: Worker, sessions: Callable[[str], Sessions]
) -> None:
    board, image = await make_board(eve), await worker.add(ada.id)
    row = {"user": eve.id, "board": UUID(board["id"]), "image": UUID(image)}
    pin = text("INSERT INTO gallery.board_images VALUES (:user, :board, :image)")
    with pytest.raises(DBAPIError, match="foreign key"):
        async with transaction(sessions("gallery"), eve.id) as session:
            await session.execute(pin, row)


async def test_without_a_token_nothing_is_answered(api: httpx.AsyncClient) -> None:
    unauthorized = (401, "unauthorized")
    assert problem_of(await api.get(PATH)) == unauthorized
    assert problem_of(await api.post(PATH, json={"name": "Fruit"})) == unauthorized
    assert problem_of(await api.put(f"{PATH}/{uuid4()}/images/{uuid4()}")) == unauthorized
