// Writes that wait for the server, and those that it refused, until the person has seen it. They are kept in the browser,
// so that neither a tunnel nor a reload loses one.
import { createTask, deleteTask, editTask, ok, Problem, readTask, type Call, type Fields, type Task } from "./tasks.ts";

/** A task as a person sees it. One with a `draft` was made here, and has an id below zero until the copy has it. */
export type Row = Task & { draft?: { key: string; fields: Fields }; waits?: boolean };

export interface Write {
  name: string; // where it is stored: names sort by time
  kind: (typeof KINDS)[number];
  seen: Row; // what the person saw: another's change of that is not overwritten
  fields: Fields;
  refused?: { status: number; message: string };
}

const FORMAT = 1; // of Write: another where old entries can't be read any more, which are then ignored, sent or not
const KINDS = ["create", "edit", "delete"] as const;
const EMPTY: Required<Fields> = {
  title: "",
  description: null,
  completed: false,
};
const UNMADE = { ...EMPTY, user_id: "", created_at: "", updated_at: "" };
const REFUSED = [400, 403, 404, 412, 413, 422]; // sent again, it would get the same answer

/** The windows of a browser share `storage`, and in it the writes of one `owner`. `tell` is called at each refusal. */
export function createQueue(call: Call, storage: Record<string, string>, owner: string, tell: () => void) {
  const prefix = `tasks:${FORMAT}:${encodeURIComponent(owner)}:`;
  const memory: Record<string, string> = {}; // what the storage did not take
  const answers = new Map<number, Task>(); // the last about each row, by its id here
  const drafts = new Map<number, number>(); // the ids here of rows that the server gave another
  let writes: Write[] = []; // what the copy doesn't show yet: all that waits, and what was answered just now
  let time = 0;

  function stored(): Write[] {
    const names = [storage, memory].flatMap(Object.keys).filter((name) => name.startsWith(prefix));
    return names.sort().flatMap((name) => parse(name, memory[name] ?? storage[name]!) ?? []);
  }

  function keep(write: Write): void {
    const text = JSON.stringify(write);
    try {
      storage[write.name] = text;
    } catch {
      delete storage[write.name]; // or a reload would find what it was before
      memory[write.name] = text;
    }
  }

  function drop(name: string): void {
    delete storage[name];
    delete memory[name];
  }

  const waiting = () => stored().filter(({ refused }) => !refused);

  function add(kind: Write["kind"], row?: Row, fields: Fields = {}): void {
    time = Math.max(Date.now(), time + 1);
    const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
    const seen = row ?? { ...UNMADE, id: -time, draft: { key, fields } };
    const write = { name: `${prefix}${time}:${key}`, kind, seen, fields };
    keep(write);
    writes = [...writes, write];
  }

  /** Find what other windows have left, and this one before it was loaded again. */
  function recall(): void {
    writes = [...writes, ...waiting().filter(({ name }) => !writes.some((write) => write.name === name))];
  }

  /** Send what waits, in order. An error says that the server can't be reached: then the rest waits on. */
  async function send(): Promise<void> {
    await alone(prefix, async () => {
      recall();
      for (let write; (write = waiting()[0]);) {
        try {
          const answer = await deliver(write);
          if (answer) answers.set(write.seen.id, answer);
          if (answer && write.kind === "create") drafts.set(answer.id, write.seen.id);
          drop(write.name);
        } catch (error) {
          if (!(error instanceof Problem && REFUSED.includes(error.status))) throw error;
          const { status, message } = error;
          if (status === 403) await ok(await call("?limit=1")); // somebody else is signed in: it waits
          keep({ ...write, refused: { status, message } });
          writes = writes.filter(({ name }) => name !== write.name);
          tell();
        }
      }
    });
  }

  async function deliver({ kind, seen, fields }: Write): Promise<Task | void> {
    const names = Object.keys(kind === "delete" ? EMPTY : fields) as (keyof Fields)[];
    const text = (task: Fields) => JSON.stringify(names.map((name) => task[name])); // a field may be a list
    const same = (one: Fields, other: Fields) => text(one) === text(other);
    const answer = answers.get(seen.id);
    let task: Task = seen;
    if (answer && answer.updated_at > seen.updated_at && same(answer, seen)) {
      task = answer; // an own write has come through since
    } else if (seen.draft) {
      task = await createTask(call, seen.draft.fields, seen.draft.key); // made now, or the same answer as when it was
    }
    if (kind === "create") return task;
    for (;;) {
      try {
        return await (kind === "edit" ? editTask(call, task, fields) : deleteTask(call, task));
      } catch (error) {
        if (!(error instanceof Problem && error.status === 412)) throw error;
        const theirs = await readTask(call, task.id).catch((error) => {
          if (kind === "edit" || error.status !== 404) throw error;
        });
        if (!theirs) return; // it is deleted, as it was to be
        if (kind === "edit" && same(theirs, fields)) return theirs; // it was sent before, and the answer was lost
        if (!same(theirs, seen)) throw error;
        task = theirs; // what has changed is something else of it
      }
    }
  }

  /** The copy has it all now: forget what was answered. */
  function settle(): void {
    const names = waiting().map(({ name }) => name);
    writes = writes.filter(({ name }) => names.includes(name));
  }

  /** The tasks as they will be when the writes have come through, newest first. */
  function show(tasks: Row[]): Row[] {
    const rows = new Map(tasks.map((task) => [task.id, task]));
    for (const { kind, seen, fields } of writes) {
      const row = kind === "create" ? seen : (rows.get(seen.id) ?? rows.get(answers.get(seen.id)?.id ?? 0));
      if (!row) continue; // it is gone, or not on this page
      if (kind === "delete") rows.delete(row.id);
      else rows.set(row.id, { ...row, ...fields, waits: true });
    }
    return [...rows.values()].sort(byAge);
  }

  return {
    add,
    recall,
    send,
    settle,
    show,
    drop,
    writes: () => writes,
    refused: () => stored().filter(({ refused }) => refused),
    /** Whether all is kept where a reload finds it. */
    isKept: () => Object.keys(memory).length === 0,
    keyOf: ({ id }: Row) => drafts.get(id) ?? id,
  };
}

/** The write, if it is one that can be shown and sent: others can write into the storage of a browser, too. */
function parse(name: string, text: string): Write | undefined {
  try {
    const write: Write = JSON.parse(text);
    const { kind, seen, fields, refused } = write;
    const texts = [seen, fields, seen.draft?.fields ?? {}].flatMap(({ title, description }) => [title, description]);
    const isWrite =
      KINDS.includes(kind) &&
      Number.isInteger(seen.id) &&
      fields instanceof Object &&
      [...texts, refused?.message].every((text) => typeof (text ?? "") === "string") &&
      [seen.updated_at, seen.draft?.key].every((header) => /^[!-~]{0,255}$/.test(header ?? ""));
    return isWrite ? { ...write, seen: { ...UNMADE, ...seen }, name } : undefined;
  } catch {
    return undefined;
  }
}

/** One window after the other, where the browser can do that. */
async function alone(name: string, work: () => Promise<void>): Promise<void> {
  const locks = globalThis.navigator?.locks;
  await (locks ? locks.request(name, work) : work());
}

/** The order of the list, newest first. Ids rise with time, and those of rows that the server has not made fall. */
export function byAge(a: Row, b: Row): number {
  const age = ({ id }: Row) => (id < 0 ? id : 2 ** 52 - id);
  return age(a) - age(b);
}
