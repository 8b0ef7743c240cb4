import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { browserToken } from "./auth-client.ts";
import { createSync } from "./sync.ts";
import { caller, readPage, search, type Page } from "./tasks.ts";

const TYPING = 200; // milliseconds without a key, and it is searched for
const NO_STORAGE: Record<string, string> = Object.freeze({}); // it takes nothing
const NO_SERVER: Page = { tasks: [] }; // without a `next`: all that the copy has is shown

/**
 * One person's tasks, searched and scrolled through. The server finds the pages, so that a long list shows at once; what
 * they show is the copy, as soon as it is there, so that it is live and works offline.
 */
export function useTasks(userId: string, first: Page) {
  const [call] = useState(() => caller(userId, browserToken));
  const [sync] = useState(() => createSync(call, browserStorage(), userId));
  const state = useSyncExternalStore(sync.subscribe, sync.state, sync.state);
  const [q, setQ] = useState("");
  const [listed, setListed] = useState(first);
  const typing = useRef<ReturnType<typeof setTimeout>>(undefined);

  useEffect(() => {
    let stop = new AbortController();
    function follow() {
      stop.abort();
      stop = new AbortController();
      // Hidden windows need no stream, and over HTTP/1.1 a browser has six connections to a host, for all windows.
      if (!document.hidden) void sync.follow(stop.signal);
    }
    follow();
    document.addEventListener("visibilitychange", follow);
    window.addEventListener("online", sync.wake);
    window.addEventListener("offline", sync.wake);
    window.addEventListener("storage", sync.look);
    return () => {
      stop.abort();
      document.removeEventListener("visibilitychange", follow);
      window.removeEventListener("online", sync.wake);
      window.removeEventListener("offline", sync.wake);
      window.removeEventListener("storage", sync.look);
    };
  }, [sync]);

  function find(typed: string) {
    setQ(typed);
    clearTimeout(typing.current);
    const timer = setTimeout(async () => {
      const found = await readPage(call, search(typed.trim())).catch(() => NO_SERVER);
      if (typing.current === timer) setListed(found);
    }, TYPING);
    typing.current = timer;
  }

  async function showMore() {
    const { next } = listed;
    if (!next) return;
    const page = await readPage(call, next).catch(() => NO_SERVER);
    setListed((now) => (now.next === next ? { tasks: [...now.tasks, ...page.tasks], next: page.next } : now));
  }

  const all = useMemo(() => sync.show(state.tasks ?? listed.tasks), [sync, state, listed]);
  const rows = useMemo(() => {
    const text = folded(q.trim());
    const oldest = (listed.next && listed.tasks.at(-1)?.id) || 0; // no further than the pages have come
    return all
      .filter(({ id }) => id < 0 || id >= oldest)
      .filter(({ title, description }) => folded(`${title}\n${description ?? ""}`).includes(text));
  }, [all, listed, q]);

  return { call, sync, state, all, rows, q, find, next: listed.next, showMore };
}

/** In small letters, one for one as PostgreSQL has them: by JavaScript's rules İ becomes two, and Σ depends on its place. */
const folded = (text: string) => text.replaceAll("İ", "i").replaceAll("Σ", "σ").toLowerCase();

function browserStorage(): Record<string, string> {
  try {
    return localStorage ?? NO_STORAGE;
  } catch {
    return NO_STORAGE; // the browser forbids it, or this is the server
  }
}
