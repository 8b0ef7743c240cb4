// Better Auth itself reads BETTER_AUTH_SECRET, and BETTER_AUTH_URL: the one address under which the page may be opened.
// (On 127.0.0.1 in place of localhost, signing in is INVALID_ORIGIN.)
import { betterAuth } from "better-auth";
import { jwt } from "better-auth/plugins";
import { Pool } from "pg";

export const auth = betterAuth({
  database: new Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  plugins: [jwt()], // signs the tokens for the task API, and publishes the keys that verify them
});
