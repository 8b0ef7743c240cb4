"""A client of openapi-python-client."""

import os

from task_api.api.tasks import create_task, delete_tasks, get_task, list_tasks, update_task
from task_api.client import AuthenticatedClient
from task_api.models import ProblemBody, TaskCreate, TaskPublic, TaskUpdate

client = AuthenticatedClient(base_url=os.environ["API"], token=os.environ["TOKEN"])

task = create_task.sync("alice", client=client, body=TaskCreate(title="Buy milk"))
assert isinstance(task, TaskPublic)

listed = list_tasks.sync("alice", client=client, q="milk", limit=10)
assert listed == [task]


def rename(title: str) -> ProblemBody | TaskPublic | None:
    etag = f'"{known.updated_at:%Y-%m-%dT%H:%M:%S.%fZ}"'
    return update_task.sync("alice", known.id, client=client, body=TaskUpdate(title=title), if_match=etag)


known = task
renamed = rename("Buy oat milk")
assert isinstance(renamed, TaskPublic)
assert renamed.title == "Buy oat milk"
late = rename("Too late")
assert isinstance(late, ProblemBody)
assert late.status == 412

missing = get_task.sync("alice", 4711, client=client)
assert isinstance(missing, ProblemBody)
assert (missing.status, missing.detail) == (404, "There is no such task.")

delete_tasks.sync("alice", client=client, all_=True)
