import { useRef, type FormEvent } from "react";

import type { Row } from "@/lib/queue";
import type { Fields } from "@/lib/tasks";

interface Props {
  row: Row;
  note?: string;
  edited?: Row; // as it was when editing began
  edit: (is: boolean) => void;
  write: (kind: "edit" | "delete", row: Row, fields?: Fields) => void;
}

/** As a form gives it, which knows no carriage return. */
const text = (value: unknown) => String(value ?? "").replace(/\r\n?/g, "\n").trim();

/** A row that goes leaves the focus to the list. */
function leaveFocus(row: HTMLLIElement) {
  return () => {
    if (row.contains(document.activeElement)) row.parentElement?.focus();
  };
}

export function TaskRow({ row, note, edited, edit, write }: Props) {
  const opener = useRef<HTMLButtonElement>(null);
  const { title, description, completed } = row;

  function close() {
    edit(false);
    opener.current?.focus();
  }

  function save(event: FormEvent<HTMLFormElement>, before: Row) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const [title, description] = [text(form.get("title")), text(form.get("description"))];
    const fields: Fields = {};
    if (title !== text(before.title)) fields.title = title;
    if (description !== text(before.description)) fields.description = description || null;
    if (Object.keys(fields).length > 0) write("edit", before, fields);
    close();
  }

  return (
    <li ref={leaveFocus} className={completed ? "completed" : undefined}>
      <label>
        <input type="checkbox" checked={completed} onChange={() => write("edit", row, { completed: !completed })} />
        <span>{title}</span>
      </label>
      <button
        ref={opener}
        aria-expanded={Boolean(edited)}
        aria-label={`Edit ${title}`}
        onClick={() => (edited ? close() : edit(true))}
      >
        Edit
      </button>
      {note && <small>{note}</small>}
      {!edited && description && <p>{description}</p>}
      {edited && (
        <form method="post" onSubmit={(event) => save(event, edited)} onKeyDown={({ key }) => key === "Escape" && close()}>
          <input
            name="title"
            aria-label="Title"
            defaultValue={edited.title}
            maxLength={200}
            pattern=".*\S.*"
            required
            autoFocus
          />
          <textarea
            name="description"
            aria-label="Description"
            placeholder="Description"
            defaultValue={edited.description ?? ""}
            maxLength={1000}
            rows={3}
          />
          <button className="primary">Save</button>
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button
            type="button"
            onClick={() => {
              edit(false);
              write("delete", edited);
            }}
          >
            Delete
          </button>
        </form>
      )}
    </li>
  );
}
