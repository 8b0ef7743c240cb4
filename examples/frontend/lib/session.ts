import { useEffect } from "react";

/** Load the page again in all windows of this browser, this one too: somebody has signed in or out. */
export function reloadWindows(): void {
  new BroadcastChannel("session").postMessage("changed");
}

/** What a page does that looks different to who is signed in. */
export function useReload(): void {
  useEffect(() => {
    const session = new BroadcastChannel("session");
    session.onmessage = () => location.reload();
    return () => session.close();
  }, []);
}
