import { SignJWT } from "jose";

import { auth } from "./auth.mjs";

const secret = new TextEncoder().encode(process.env.BETTER_AUTH_SECRET);

/** A token for the task API, for whoever is signed in here: app/api/task-token/route.js in a Next.js project. */
export async function GET(request) {
  const session = await auth.api.getSession({ headers: request.headers });
  if (!session) return new Response(null, { status: 401 });
  const token = await new SignJWT()
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(session.user.id)
    .setIssuedAt()
    .setExpirationTime("15m")
    .sign(secret);
  return Response.json({ token });
}
