import { headers } from "next/headers";

import { auth } from "@/lib/auth";
import { caller, countOpen, readPage, search } from "@/lib/tasks";

import { SignIn } from "./sign-in";
import { Tasks } from "./tasks";

const PATIENCE = 3_000; // milliseconds for which a call waits, and the page with it

/** A server component: the first tasks come with the page itself. */
export default async function Home() {
  const request = { headers: await headers() };
  const session = await auth.api.getSession(request);
  if (!session) return <SignIn address={process.env.BETTER_AUTH_URL} />;
  const { id, name } = session.user;
  const call = caller(id, async () => (await auth.api.getToken(request)).token, PATIENCE);
  // Without the task API the page comes all the same, and fills when the API is back.
  const [first, open] = await Promise.all([
    readPage(call, search()).catch(() => ({ tasks: [] })),
    countOpen(call).catch(() => 0),
  ]);
  return <Tasks key={id} user={{ id, name }} first={first} open={open} />;
}
