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

/** As a form gives what it shows: lines end in one way, and a title has one line. */
const lines = (value: unknown) => String(value ?? "").replace(/\r\n?/g, "\n").trim();
const line = (value: unknown) => String(value ?? "").replace(/[\r\n]/g, "").trim();

/** A row that goes leaves the focus to the list. */
function leaveFocus(row: HTMLLIElement) {
  return () => {
    if (row.contains(document.activeElement)) row.parentElement?.focus({ preventScroll: true });
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
    const [title, description] = [line(form.get("title")), lines(form.get("description"))];
    const fields: Fields = {};
    if (title !== line(before.title)) fields.title = title;
    if (description !== lines(before.description)) fields.description = description || null;
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
            pattern="(?=.*\S).{1,200}"
            title="At most 200 characters"
            required
            autoFocus
          />
          <textarea
            name="description"
            aria-label="Description"
            placeholder="Description"
            defaultValue={edited.description ?? ""}
            onInput={({ currentTarget: field }) =>
              // Characters as the service counts them: maxLength would count some as two.
              field.setCustomValidity([...field.value].length > 1000 ? "At most 1000 characters" : "")
            }
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
