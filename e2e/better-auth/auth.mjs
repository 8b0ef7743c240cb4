// Better Auth as a Next.js project has it in lib/auth.js, with what the tests vary read from the environment.
import { betterAuth } from "better-auth";
import { bearer, jwt } from "better-auth/plugins";
import pg from "pg";

const { env } = process;

// BETTER_AUTH_URL and BETTER_AUTH_SECRET are read by Better Auth itself.
export const auth = betterAuth({
  database: new pg.Pool({ connectionString: env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  // The mail goes to standard output, where the tests read it.
  emailVerification: {
    sendOnSignUp: true,
    sendVerificationEmail: async ({ user, token }) => console.log(JSON.stringify({ mail: user.email, token })),
  },
  user: { deleteUser: { enabled: true } },
  session: { cookieCache: { enabled: Boolean(env.SESSION_CACHE), strategy: "jwt" } },
  advanced: { database: { generateId: env.ID_TYPE === "uuid" ? "uuid" : undefined } },
  plugins: [
    jwt({
      jwks: {
        rotationInterval: 30 * 24 * 60 * 60, // and a key stays published for another 30 days, the default
        jwksPath: env.JWKS_PATH || "/jwks",
      },
      jwt: { issuer: env.JWT_ISSUER, audience: env.JWT_AUDIENCE?.split(",") }, // the origin where they are not set
      sessionCookieCache: env.SESSION_CACHE === "keys", // else it is signed with BETTER_AUTH_SECRET
    }),
    bearer(), // for clients that keep no cookies
  ],
});
