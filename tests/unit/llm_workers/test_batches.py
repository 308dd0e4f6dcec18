"""Jobs out, answers in: by files that name nobody, as often as one likes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from profile_requests import request

from llm_workers.batches import export_jobs, import_answers
from llm_workers.cache import AnswerCache, cache_key
from llm_workers.prompts.profile import profile_prompt
from llm_workers.protocols import Prompt

GOOD = {"segment": ["nail lover"], "interests": [], "categories": [], "brands": []}


def prompt(number: int) -> Prompt:
    made = profile_prompt(request(f"polish {number}", user_id=f"user-{number}"))
    assert made is not None
    return made


def answered(custom_id: str, content: Any = GOOD, status: int = 200) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    body = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 1}}
    return json.dumps({"id": "b", "custom_id": custom_id, "response": {"status_code": status, "body": body}})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_job_line_is_what_the_batch_api_wants(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "cache.sqlite", 10**6)
    cache.put("m", prompt(0), json.dumps(GOOD))
    seen: list[int] = []
    report = export_jobs(map(prompt, [0, 1, 2, 1]), tmp_path / "jobs.jsonl", cache, "m", progress=seen.append)
    assert (report.written, report.cached, report.repeated, sum(seen)) == (2, 1, 1, 4)
    jobs = lines(tmp_path / "jobs.jsonl")
    assert [job["custom_id"] for job in jobs] == [cache_key("m", prompt(1)), cache_key("m", prompt(2))]
    assert {(job["method"], job["url"]) for job in jobs} == {("POST", "/v1/chat/completions")}
    body = jobs[0]["body"]
    assert body["model"] == "m"
    assert body["messages"][1] == {"role": "user", "content": prompt(1).user}
    assert body["response_format"]["json_schema"]["strict"] is True
    cache.close()
    written = (tmp_path / "jobs.jsonl").read_bytes() + (tmp_path / "cache.sqlite").read_bytes()
    assert b"user-1" not in written


def test_answers_are_kept_for_the_prompt_and_its_owner_without_the_jobs(tmp_path: Path) -> None:
    cache = AnswerCache(None, 10**6)
    export_jobs(map(prompt, range(3)), tmp_path / "jobs.jsonl", cache, "m")
    ids = [job["custom_id"] for job in lines(tmp_path / "jobs.jsonl")]
    (tmp_path / "jobs.jsonl").unlink()
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(answered(name, f"Sure: {json.dumps(GOOD)}") for name in ids) + "\n")
    seen: list[int] = []
    report = import_answers(answers, cache, progress=seen.append)
    assert (report.kept, report.problems, sum(seen)) == (3, [], answers.stat().st_size)
    assert cache.get("m", prompt(2)) == json.dumps(GOOD, separators=(",", ":"))
    assert cache.figures()["waiting"] == 0
    again = import_answers(answers, cache)
    assert (again.kept, again.known, again.unknown) == (0, 3, 0)
    assert cache.forget_owner("user-2") == 1
    assert cache.get("m", prompt(2)) is None
    assert import_answers(answers, cache).unknown == 1, "an erased user does not come back"
    assert export_jobs(map(prompt, range(3)), tmp_path / "more.jsonl", cache, "m").written == 1


def test_bad_lines_are_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    cache = AnswerCache(None, 10**6)
    export_jobs(map(prompt, range(7)), tmp_path / "jobs.jsonl", cache, "m")
    ids = [job["custom_id"] for job in lines(tmp_path / "jobs.jsonl")]
    content = [
        answered(ids[0]),
        "not json",
        answered("0" * 40),
        answered(ids[1], "I would rather not"),
        "",
        answered(ids[2], status=500),
        json.dumps({"custom_id": ids[3], "response": None, "error": {"code": "batch_expired"}}),
        json.dumps({"custom_id": ids[4], "response": {"status_code": 200, "body": "?"}}),
        answered(ids[5]),
        answered(ids[5]),
        answered(ids[6])[:-20],
    ]
    answers = tmp_path / "answers.jsonl"
    answers.write_bytes("\n".join(content).encode() + b"\n\xff\xfe")
    report = import_answers(answers, cache)
    assert (report.kept, report.known, report.unknown, report.failed, report.bad) == (2, 1, 1, 2, 5)
    assert [problem.partition(":")[0] for problem in report.problems] == [
        f"line {at}" for at in (2, 3, 4, 6, 7, 8, 11, 12)
    ]
    assert "does not fit profile.v1: it holds no JSON object" in report.problems[2]
    answers.write_text("\n".join(answered(name) for name in ids))
    again = import_answers(answers, cache)
    assert (again.kept, again.known) == (5, 2), "what failed is still waited for"


def test_an_export_that_comes_back_is_recognised(tmp_path: Path) -> None:
    cache = AnswerCache(None, 10**6)
    export_jobs(map(prompt, range(3)), tmp_path / "jobs.jsonl", cache, "m")
    report = import_answers(tmp_path / "jobs.jsonl", cache)
    assert (report.kept, report.failed, report.bad, report.questions) == (0, 0, 3, 3)
    assert report.problems[0] == "line 1: is a prompt as `evergraph llm export-jobs` writes it, not an answer"
    assert cache.figures()["waiting"] == 3


def test_large_exports_go_into_several_files(tmp_path: Path) -> None:
    cache = AnswerCache(None, 10**7)
    report = export_jobs(map(prompt, range(5)), tmp_path / "jobs.jsonl", cache, "m", most_requests=2)
    assert [path.name for path in report.files] == ["jobs.jsonl", "jobs-2.jsonl", "jobs-3.jsonl"]
    assert [len(lines(path)) for path in report.files] == [2, 2, 1]
    size = (tmp_path / "jobs.jsonl").stat().st_size // 2 + 50
    report = export_jobs(map(prompt, range(5)), tmp_path / "small.jsonl", cache, "m", most_bytes=size)
    assert [len(lines(path)) for path in report.files] == [1] * 5


def test_an_export_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    def breaks() -> Any:
        yield prompt(0)
        raise OSError("the log ends here")

    with pytest.raises(OSError, match="the log ends here"):
        export_jobs(breaks(), tmp_path / "jobs.jsonl", AnswerCache(None, 10**6), "m")
    assert list(tmp_path.iterdir()) == []
