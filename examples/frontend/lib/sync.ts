// A copy of one person's tasks that follows the server, and comes out equal to it whatever is cut.
import { createQueue, type Row, type Write } from "./queue.ts";
import { ok, Problem, type Call, type Changes, type Fields, type Task } from "./tasks.ts";

const PAUSE = 3_000;
const LONGEST_PAUSE = 60_000;
const FIRST_WORD = 10_000; // a stream begins with an event: one that doesn't is held back by a proxy
const SILENCE = 40_000; // something comes every 30 s, if only a comment: else the connection is dead

export interface State {
  tasks?: Task[]; // the copy, as soon as it is complete
  waiting: number; // writes
  refused: Write[];
  kept: boolean; // or a reload would lose what waits
  trouble?: string; // why the copy can't follow just now
}

export function createSync(call: Call, storage: Record<string, string>, owner: string) {
  const copy = new Map<number, Task>();
  const listeners = new Set<() => void>();
  const queue = createQueue(call, storage, owner, () => change({}));
  let state: State = { waiting: 0, refused: [], kept: true };
  let pause = PAUSE;
  let next = ""; // of the last page that the copy has
  let waking = new AbortController();
  let following = Promise.resolve();

  function change(part: Partial<State>): void {
    const waiting = queue.writes().length;
    state = { ...state, ...part, waiting, refused: queue.refused(), kept: queue.isKept() };
    for (const listener of listeners) listener();
  }

  /** Follow the server until the signal, in rounds: send what waits, then listen. */
  async function rounds(signal: AbortSignal): Promise<void> {
    pause = PAUSE;
    while (!signal.aborted) {
      waking = new AbortController();
      const stop = AbortSignal.any([signal, waking.signal]);
      queue.recall();
      change({});
      try {
        if (globalThis.navigator?.onLine === false) throw new Problem("You are offline.");
        await queue.send();
        await listen(stop).catch(async () => {
          if (!stop.aborted) await poll(); // where a stream can't be had, this is how it follows
        });
      } catch (error) {
        change({ trouble: error instanceof Problem ? error.message : "The tasks can't be reached." });
      }
      await sleep(pause * (0.5 + Math.random()), stop); // not all at once, when a service is back
      if (!stop.aborted) pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  }

  async function listen(stop: AbortSignal): Promise<void> {
    const connection = new AbortController();
    let timer = setTimeout(() => connection.abort(), FIRST_WORD);
    try {
      const response = await ask("/changes/stream?limit=1000", {
        headers: next ? { "Last-Event-ID": next } : {},
        signal: AbortSignal.any([stop, connection.signal]),
      });
      for await (const data of events(response.body!)) {
        clearTimeout(timer);
        timer = setTimeout(() => connection.abort(), SILENCE);
        if (data) apply(JSON.parse(data));
      }
    } finally {
      clearTimeout(timer);
      connection.abort();
    }
  }

  async function poll(): Promise<void> {
    for (let more = true; more;) {
      const response = await ask(`/changes?limit=1000${next && `&since=${next}`}`);
      const page: Changes = await response.json();
      apply(page);
      more = page.more;
    }
  }

  async function ask(path: string, options?: RequestInit): Promise<Response> {
    const response = await call(path, options);
    if (response.status === 410) {
      next = ""; // too old: from the start
      copy.clear();
    }
    return ok(response);
  }

  function apply(page: Changes): void {
    for (const task of page.changed) copy.set(task.id, task);
    for (const id of page.deleted) copy.delete(id);
    next = page.next;
    pause = PAUSE;
    if (page.more) return; // only the last page makes it the state of one moment
    queue.settle(); // it was asked for after the writes were answered, so that it has them
    change({ tasks: [...copy.values()], trouble: undefined });
  }

  return {
    state: () => state,
    show: queue.show,
    keyOf: queue.keyOf,
    subscribe(listener: () => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    /** Two at once would mix up their pages, so a second follows when the first has ended. */
    follow: (signal: AbortSignal) => (following = following.then(() => rounds(signal))),
    /** Begin a round at once: the network has come or gone. */
    wake() {
      pause = PAUSE;
      waking.abort();
    },
    /** Another window has changed what the storage has. */
    look: () => change({}),
    /** It shows at once, and is sent when the server can be reached. */
    write(kind: Write["kind"], row?: Row, fields?: Fields) {
      queue.add(kind, row, fields);
      change({});
      waking.abort();
    },
    dismiss({ name }: Write) {
      queue.drop(name);
      change({});
    },
  };
}

/** The data of server-sent events, as this server writes them: in one line, and nothing in comments. */
async function* events(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string | undefined> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) yield /^data: (.*)$/m.exec(block)?.[1];
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => resolve());
  });
}
