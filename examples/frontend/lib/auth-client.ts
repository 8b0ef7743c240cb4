import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";

import { Problem } from "./tasks.ts";

export const authClient = createAuthClient({ plugins: [jwtClient()] });

/** A token for the task API, of whoever is signed in in this browser. */
export async function browserToken(): Promise<string> {
  // With a limit, since all windows wait for the one that sends.
  const { data, error } = await authClient.token({ fetchOptions: { timeout: 20_000 } });
  if (error?.status === 401) throw new Problem("You are signed out: load this page again.");
  if (error) throw new Problem(error.message ?? error.statusText);
  return data.token;
}
