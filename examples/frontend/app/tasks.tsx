"use client";

import { useRouter } from "next/navigation";
import { useState, type FormEvent } from "react";

import { authClient } from "@/lib/auth-client";
import { clearCompleted, type Page } from "@/lib/tasks";
import { useTasks } from "@/lib/use-tasks";

import { More } from "./more";
import { TaskRow } from "./task-row";

interface Props {
  user: { id: string; name: string };
  first: Page;
  open: number;
}

export function Tasks({ user, first, open }: Props) {
  const router = useRouter();
  const { call, sync, state, all, rows, q, find, next, showMore } = useTasks(user.id, first);
  const { tasks, waiting, refused, trouble } = state;
  const [problem, setProblem] = useState("");
  const left = tasks ? all.filter(({ completed }) => !completed).length : open;
  const clearable = tasks && !trouble && waiting === 0 && left < all.length;

  function add(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const title = String(new FormData(event.currentTarget).get("title")).trim();
    if (title) sync.write("create", undefined, { title });
    event.currentTarget.reset();
  }

  return (
    <main>
      <header>
        <h1>Tasks</h1>
        <span>{user.name}</span>
        <button
          onClick={() =>
            authClient.signOut().then(
              () => router.refresh(),
              () => setProblem("You can't sign out just now."),
            )
          }
        >
          Sign out
        </button>
      </header>

      <form className="add" method="post" onSubmit={add}>
        <input
          name="title"
          aria-label="New task"
          placeholder="What is to be done?"
          maxLength={200}
          autoComplete="off"
        />
        <button className="primary">Add</button>
      </form>
      <input
        type="search"
        aria-label="Search"
        placeholder="Search"
        maxLength={200}
        value={q}
        onChange={(event) => find(event.target.value)}
      />

      {refused.map((refusal) => (
        <p role="alert" key={refusal.write.name}>
          <span>
            <b>{refusal.write.fields.title ?? refusal.write.seen.title}</b> was not saved. {refusal.problem.message}
            {refusal.write.fields.description && ` You wrote: ${refusal.write.fields.description}`}
          </span>
          <button onClick={() => sync.dismiss(refusal)}>Dismiss</button>
        </p>
      ))}

      <ul>
        {rows.map((row) => (
          <TaskRow key={sync.keyOf(row)} row={row} waits={Boolean(trouble && row.waits)} write={sync.write} />
        ))}
      </ul>
      {tasks && rows.length === 0 && <p className="empty">{q ? "Nothing has that in it." : "Nothing to do."}</p>}
      {next && <More key={next} show={showMore} />}

      <footer>
        <p role="status" className={trouble && "trouble"}>
          {trouble ?? (tasks ? "Up to date" : "Connecting …")}
          {trouble && waiting > 0 && ` ${waiting} to be sent later.`}
        </p>
        <p>{left} left</p>
        <button
          disabled={!clearable}
          onClick={() =>
            clearCompleted(call).then(
              () => setProblem(""),
              (error: Error) => setProblem(error.message),
            )
          }
        >
          Clear completed
        </button>
      </footer>
      {problem && <p role="alert">{problem}</p>}
    </main>
  );
}
