import { useEffect } from "react";

/** Tell all windows of this browser, this one too, who is signed in now: "" is nobody. */
export function tellWindows(userId: string): void {
  new BroadcastChannel("session").postMessage(userId);
}

/** What a page of this user does: it is loaded again where it is somebody else's now, and goes on where it isn't. */
export function useSession(userId: string, goOn?: () => void): void {
  useEffect(() => {
    const session = new BroadcastChannel("session");
    session.onmessage = ({ data }) => (data === userId ? goOn?.() : location.reload());
    return () => session.close();
  }, [userId, goOn]);
}
