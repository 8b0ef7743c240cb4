import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";

export const authClient = createAuthClient({ plugins: [jwtClient()] });

/** A token for the task API, of whoever is signed in. */
export async function browserToken(): Promise<string> {
  const { data, error } = await authClient.token();
  if (error) throw new Error(error.message ?? error.statusText);
  return data.token;
}
