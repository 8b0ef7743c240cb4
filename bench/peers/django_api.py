"""Django Ninja: the model and the routes."""

import os
from typing import Annotated

import jwt
from django.db import models
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import path
from ninja import ModelSchema, NinjaAPI, Query, Schema
from ninja.errors import HttpError
from ninja.security import HttpBearer
from pydantic import StringConstraints

SECRET = os.environ["BETTER_AUTH_SECRET"]


class Task(models.Model):
    id = models.BigAutoField(primary_key=True)
    user_id = models.TextField()
    title = models.TextField()
    description = models.TextField(null=True)
    completed = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "api"
        db_table = "tasks"
        managed = False


Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Description = Annotated[str, StringConstraints(max_length=1000)]


class TaskPublic(ModelSchema):
    class Meta:
        model = Task
        fields = "__all__"


class TaskCreate(Schema):
    title: Title
    description: Description | None = None
    completed: bool = False


class TaskUpdate(TaskCreate):
    title: Title = ""


class Owner(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        try:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
        except jwt.InvalidTokenError:
            return None
        if claims["sub"] != request.resolver_match.kwargs["user_id"]:
            raise HttpError(403, "The token belongs to another user.")
        return claims["sub"]


api = NinjaAPI(docs_url=None, openapi_url=None)
owned = Owner()


@api.get("/health")
def health(request):
    return {"status": "ok"}


@api.get("/api/{user_id}/tasks", response=list[TaskPublic], auth=owned)
def list_tasks(request, user_id: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100):
    return Task.objects.filter(user_id=user_id).order_by("id")[:limit]


@api.get("/api/{user_id}/tasks/{int:task_id}", response=TaskPublic, auth=owned)
def get_task(request, user_id: str, task_id: int):
    return get_object_or_404(Task, user_id=user_id, id=task_id)


@api.post("/api/{user_id}/tasks", response={201: TaskPublic}, auth=owned)
def create_task(request, user_id: str, new: TaskCreate):
    return 201, Task.objects.create(user_id=user_id, **new.dict())


@api.patch("/api/{user_id}/tasks/{int:task_id}", response=TaskPublic, auth=owned)
def update_task(request, user_id: str, task_id: int, changes: TaskUpdate):
    task = get_object_or_404(Task, user_id=user_id, id=task_id)
    sent = changes.dict(exclude_unset=True)
    for name, value in sent.items():
        setattr(task, name, value)
    task.save(update_fields=[*sent, "updated_at"])
    return task


urlpatterns = [path("", api.urls)]
