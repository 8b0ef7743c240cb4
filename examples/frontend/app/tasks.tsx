"use client";

import { useRef, useState, type FormEvent } from "react";

import { authClient } from "@/lib/auth-client";
import { byAge, type Row } from "@/lib/queue";
import { tellWindows, useSession } from "@/lib/session";
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
  const { call, sync, state, all, rows, q, find, next, showMore } = useTasks(user.id, first);
  const { tasks, waiting, refused, kept, trouble } = state;
  const [problem, setProblem] = useState("");
  const [edited, setEdited] = useState<Row[]>([]); // as they were when editing began: If-Match tells if they still are
  const list = useRef<HTMLUListElement>(null);
  const focusList = () => list.current?.focus({ preventScroll: true });
  const same = (row: Row) => (other: Row) => sync.keyOf(other) === sync.keyOf(row);
  const hidden = edited.filter((row) => !rows.some(same(row))); // deleted, or not found: what is typed there stays
  const gone = tasks ? hidden.filter((row) => !all.some(same(row))) : [];
  const shown = [...rows, ...hidden.map((row) => all.find(same(row)) ?? row)].sort(byAge);
  const left = tasks ? all.filter(({ completed }) => !completed).length : open;
  const clearable = tasks && !trouble && waiting === 0 && left < all.length;

  useSession(user.id, sync.wake);

  function signOut() {
    authClient.signOut().then(
      ({ error }) => {
        if (error) setProblem("You can't sign out just now.");
        else tellWindows("");
      },
      () => setProblem("You can't sign out just now."),
    );
  }

  function add(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const title = String(new FormData(event.currentTarget).get("title")).trim();
    event.currentTarget.reset();
    if (!title) return;
    sync.write("create", undefined, { title });
    if (q) find(""); // or it could not be seen
  }

  return (
    <main>
      <header>
        <h1>Tasks</h1>
        <span>{user.name}</span>
        <button onClick={signOut}>Sign out</button>
      </header>

      <form className="add" method="post" onSubmit={add}>
        <input
          name="title"
          aria-label="New task"
          placeholder="What is to be done?"
          pattern=".{0,200}"
          title="At most 200 characters"
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

      {refused.map((write) => (
        <p role="alert" key={write.name}>
          <span>
            <b>{write.fields.title ?? write.seen.title}</b> was not {write.kind === "delete" ? "deleted" : "saved"}.{" "}
            {write.refused!.message}
            {write.fields.description && ` You wrote: ${write.fields.description}`}
          </span>
          <button
            onClick={() => {
              sync.dismiss(write);
              focusList();
            }}
          >
            Dismiss
          </button>
        </p>
      ))}

      <ul ref={list} tabIndex={-1} aria-label="Tasks">
        {shown.map((row) => (
          <TaskRow
            key={sync.keyOf(row)}
            row={row}
            note={trouble && row.waits ? "Not sent yet" : gone.includes(row) && row.id > 0 ? "No longer there" : undefined}
            edited={edited.find(same(row))}
            edit={(is) => setEdited((now) => (is ? [...now, row] : now.filter((other) => !same(row)(other))))}
            write={sync.write}
          />
        ))}
      </ul>
      {tasks && shown.length === 0 && <p className="empty">{q ? "Nothing has that in it." : "Nothing to do."}</p>}
      {next && <More key={next} show={showMore} />}

      <footer>
        <p role="status" className={trouble && "trouble"}>
          {trouble ?? (!tasks ? "Connecting …" : waiting > 0 ? "Saving …" : "Up to date")}
          {trouble && waiting > 0 && ` ${waiting} to be sent later.`}
          {!kept && " This browser keeps nothing: leave the window open until all is sent."}
        </p>
        <p>{left} left</p>
        <button
          disabled={!clearable}
          onClick={() => {
            focusList(); // before nothing is left to be cleared, and the button can't have it
            clearCompleted(call).then(
              () => setProblem(""),
              () => setProblem("The completed tasks can't be cleared just now."),
            );
          }}
        >
          Clear completed
        </button>
        {problem && (
          <p role="alert">
            {problem}
            <button
              onClick={() => {
                setProblem("");
                focusList();
              }}
            >
              Dismiss
            </button>
          </p>
        )}
      </footer>
    </main>
  );
}
