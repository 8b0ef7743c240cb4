"""Where RATE_LIMIT is set, an owner who sends too much is told when to go on; nobody else notices."""

from tests.support.service import User, check_problem, running


def test_beyond_the_limit_it_is_a_429_for_this_owner_alone(database_url: str) -> None:
    with running(database_url, rate_limit="5/minute") as client:
        greedy, modest = User(client), User(client)
        answers = [greedy.get() for _ in range(5)]
        refused = greedy.get()

        assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == ["r=4", "r=3", "r=2", "r=1", "r=0"]
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"owner";q=5;w=60'}
        check_problem(refused, 429)
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        check_problem(greedy.send("POST", content=b"not read"), 429)
        assert modest.get().status_code == 200
        assert client.get("/health").status_code == 200
        check_problem(client.get(greedy.path), 401)  # who has no token uses nothing up


def test_without_a_limit_no_answer_speaks_of_one(user: User) -> None:
    assert "RateLimit" not in user.get().headers
