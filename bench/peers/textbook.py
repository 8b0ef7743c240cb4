"""The textbook design: as FastAPI's and SQLModel's tutorials lead to it, with sync routes and one session a request."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import BigInteger, Identity
from sqlmodel import Field, Session, SQLModel, create_engine, select

SECRET = os.environ["BETTER_AUTH_SECRET"]
engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)


def _now() -> datetime:
    return datetime.now(UTC)


class TaskBase(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool = False


class Task(TaskBase, table=True):
    __tablename__ = "tasks"

    user_id: str = Field(primary_key=True)
    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    created_at: datetime = Field(default_factory=_now)
    updated_at: datetime = Field(default_factory=_now)


class TaskPublic(TaskBase):
    id: int
    user_id: str
    created_at: datetime
    updated_at: datetime


class TaskCreate(TaskBase):
    pass


class TaskUpdate(SQLModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool | None = None


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def get_owner(user_id: str, credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    try:
        claims = jwt.decode(credentials.credentials, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        raise HTTPException(401, "The token is not valid.") from None
    if claims["sub"] != user_id:
        raise HTTPException(403, "The token belongs to another user.")
    return user_id


SessionDep = Annotated[Session, Depends(get_session)]
Owner = Annotated[str, Depends(get_owner)]
app = FastAPI()


def _find(session: Session, owner: str, task_id: int) -> Task:
    task = session.exec(select(Task).where(Task.user_id == owner, Task.id == task_id)).first()
    if task is None:
        raise HTTPException(404, "There is no such task.")
    return task


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/{user_id}/tasks", response_model=list[TaskPublic])
def list_tasks(session: SessionDep, owner: Owner, limit: Annotated[int, Query(ge=1, le=1000)] = 100):
    return session.exec(select(Task).where(Task.user_id == owner).order_by(Task.id).limit(limit)).all()


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskPublic)
def get_task(session: SessionDep, owner: Owner, task_id: int):
    return _find(session, owner, task_id)


@app.post("/api/{user_id}/tasks", response_model=TaskPublic, status_code=201)
def create_task(session: SessionDep, owner: Owner, new: TaskCreate):
    task = Task.model_validate(new, update={"user_id": owner})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@app.patch("/api/{user_id}/tasks/{task_id}", response_model=TaskPublic)
def update_task(session: SessionDep, owner: Owner, task_id: int, changes: TaskUpdate):
    task = _find(session, owner, task_id)
    task.sqlmodel_update(changes.model_dump(exclude_unset=True))
    task.updated_at = _now()
    session.add(task)
    session.commit()
    session.refresh(task)
    return task
