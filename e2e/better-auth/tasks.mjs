import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";

export const authClient = createAuthClient({ plugins: [jwtClient()] });

const tokens = new Map(); // by user, so that nobody sends the token of whoever was signed in before

async function token(userId) {
  if (!tokens.has(userId)) {
    const { data, error } = await authClient.token();
    if (error) throw new Error(error.message ?? error.statusText, { cause: error }); // 401: nobody is signed in
    tokens.set(userId, data.token);
  }
  return tokens.get(userId);
}

/** Calls the task API: tasks(user.id), tasks(user.id, "/7/complete", { method: "PATCH" }). */
export async function tasks(userId, path = "", options = {}) {
  const send = async () =>
    fetch(`${process.env.NEXT_PUBLIC_API_URL}/api/${encodeURIComponent(userId)}/tasks${path}`, {
      ...options,
      headers: { ...options.headers, Authorization: `Bearer ${await token(userId)}` },
    });
  let response = await send();
  if ([401, 403].includes(response.status) && tokens.delete(userId)) {
    response = await send(); // it lives 15 minutes, or was another user's: take a new one
  }
  return response;
}
